"""The labelled corpus: real failures, made by running them, and how well the categoriser knows them."""
