"""The proving ground: real clients, real TLS and faithful servers, all inside namespaces of this machine.

For development and tests only; needs root. Clients run unmodified, with their default URLs: a DNS server of the range
answers `api.openai.com` and the like with addresses that exist only in the range's namespaces, and the certificates come
from an authority that is made at the start and thrown away at the end. Nothing of the product is imported here: the
range is what the product is judged by.
"""

from proving.run import ClientResult, Range, RangeError, RunningClient

__all__ = ["ClientResult", "Range", "RangeError", "RunningClient"]
