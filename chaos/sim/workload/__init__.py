"""What clients do to a simulated cluster: the product's own request path on every node, and a check of every answer.

`half.py` runs `node`'s flow on a simulated member, over `loop.py` (an event loop whose time is the world's) and
`bulk.py` (its calls to other members). `mix.py` draws what clients ask, `operations.py` says it; `facts.py` is what the
log says, `model.py` what must be answered to whom at which index, `history.py` compares.
"""
