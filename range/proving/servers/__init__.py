"""The servers of the range: pure functions from a request to a reply, and one small ASGI application that sends them."""
