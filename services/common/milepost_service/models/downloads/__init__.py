"""Files of other machines: fetched over HTTP, gone on with where they broke off, verified before they have a name.

`fetch`, `hugging_face` and what they stand on need httpx, which not every process that looks at models has; nothing is
imported here.
"""
