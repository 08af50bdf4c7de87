"""Ordinary HTTPS traffic with `requests` and `aiohttp`: nothing here may be taken for AI."""

import asyncio

from _common import Truth, arguments, marker, prompt

options = arguments("web_site", ("requests", "aiohttp"))
truth = Truth(options)


def with_requests() -> None:
    import requests

    with requests.Session() as session:
        for counter in range(options.n):
            mark = marker(options, 0, counter)
            body = {"model": "X1", "messages": [prompt(mark)]}
            with truth.exchange("site", 0, counter, mark, body) as record:
                session.get("https://example.com/").raise_for_status()
                session.get("https://example.com/api/items").raise_for_status()
                got = session.post("https://example.com/api/messages", json=body)
                record["status"] = got.status_code
            if got.json()["echo"] != body:
                raise SystemExit("the site did not echo")


async def with_aiohttp() -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        for counter in range(options.n):
            mark = marker(options, 0, counter)
            body = {"model": "X1", "messages": [prompt(mark)]}
            with truth.exchange("site", 0, counter, mark, body) as record:
                async with session.post("https://example.com/api/messages", json=body) as got:
                    record["status"] = got.status
                    if (await got.json())["echo"] != body:
                        raise SystemExit("the site did not echo")


if options.mode == "requests":
    with_requests()
else:
    asyncio.run(with_aiohttp())
