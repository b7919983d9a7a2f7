"""The REST API of the labeling flow, under /api/v1/. An address reads the request, calls one stage function, and answers, as a view does.

problems: errors as documents.  base: what all addresses share.  The others: one module for each kind of object.
"""
