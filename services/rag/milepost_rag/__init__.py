"""Answers from a folder of documents, with their sources: chunked by structure, found by meaning and by word."""
