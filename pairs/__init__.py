"""Category pairs: read raw dumps, filter, split, data card, synthetic pairs.

In the order in which `prepare` goes through them:

- start: `prepare`, `config`
- find and read files: `raw_files`, `read_pair`, `amazon`, `ratings`, `own_tables`, `released`; line by line:
  `read_rows`, `read_ahead`, `line_blocks`, `json_rows`, `json_lines`, `csv_rows`, `raw_keys`, `text`, `bad_rows`
- larger than memory: `sorted_runs`, `bands`, `catalogue`, `item_codes`
- what is kept: `sift`, `filters`, `core`, `number`, `graph_only`
- splits and samples: `samples`, `order_statistics`, `sample_files`, `sample_batches`
- the data card: `tally`, `interactions`, `order`, `popularity`, `histograms`, `near_titles`, `card`
- the leak audit: `audit`, `leak_checks`
- attributes by a language model: `llm_attributes`, `llm_config`, `llm_source`, `llm_answers`, `llm_endpoint`,
  `chat_client`, `local_lm`
- written and read again: `publish`, `write_tables`, `tables`
- made up: `synthetic`, `synthetic_files` (exact), `synthetic_scaled`, `synthetic_shards` (at scale),
  `synthetic_config`, `synthetic_words`, `ceiling`
"""
