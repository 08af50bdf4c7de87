"""An agent: asks its database for a customer, gives the row to a model as a tool's result.

    live_agent.py HOST PORT SSLMODE BASE_URL CA    (HOST: a name, or the folder of a UNIX socket)

psycopg and the openai SDK, unmodified. Run with .venv-range's Python.
"""

import json
import sys

HOST, PORT, SSLMODE, BASE_URL, CA = sys.argv[1:6]

import httpx  # noqa: E402
import openai  # noqa: E402
import psycopg  # noqa: E402

with psycopg.connect(f"host={HOST} port={PORT} user=postgres dbname=shop sslmode={SSLMODE}") as connection:
    cursor = connection.execute("select id, full_name, email, card_number from customers where id = %s", (7,))
    names = [column.name for column in cursor.description]
    row = dict(zip(names, cursor.fetchone(), strict=True))

client = openai.OpenAI(base_url=BASE_URL, api_key="none", http_client=httpx.Client(verify=CA))
call = {"id": "call_1", "type": "function", "function": {"name": "lookup_customer", "arguments": '{"id": 7}'}}
answer = client.chat.completions.create(
    model="gpt-4o",
    messages=[
        {"role": "user", "content": "Summarise what we know about customer number seven."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"rows": [{"customer": row}]})},
    ],
)
print(answer.choices[0].message.content)
