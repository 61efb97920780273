"""The server of the pytest plugin: it speaks every format on one origin, and says what a test tells
it to.

`answers` is what a test queues, `saying` makes events of it, `queue` finds the answer to a request,
`answering` sends it, and `received` is what came. `origin` is the server, `server` the object that
a test holds. Nothing here needs pytest but `faults`.
"""
