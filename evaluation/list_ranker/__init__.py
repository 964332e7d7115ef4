"""The list ranker: boosted trees that order the candidates of all sources, fitted on train users out of fold."""
