"""Category pairs: read raw dumps, filter, split, data card, synthetic pairs.

In the order in which `prepare` goes through them:

- start: `prepare`, `config` (parts of it: `attributes_config`, `synthetic_config`)
- `reading/`: bytes of any dump to good rows
- `sifting/`: rows larger than memory to kept, numbered interactions
- `samples/`: interactions to samples on disk
- `card/`: the data card and the leak audit
- `attributes/`: a language model that is asked about titles, where a recipe asks for it
- written and read again: `publish`, `tables`
- made up: `synthetic/`
"""
