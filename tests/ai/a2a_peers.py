"""Real A2A peers, run by .venv-range's Python: `a2a_peers.py BINDING VERSION RECORD`; BINDING: JSONRPC or HTTP+JSON.

The agent card is fetched, then an agent is asked in one answer and as a stream, and the task asked for. Recorded as
mcp_peers does.
"""

import asyncio
import sys
from typing import Any

from mcp_peers import Record, relay, serve_app


def agent(url: str, binding: str, version: str) -> Any:
    from a2a.helpers import new_data_part, new_raw_part, new_task_from_user_message, new_text_message, new_text_part
    from a2a.server.agent_execution import AgentExecutor
    from a2a.server.request_handlers import DefaultRequestHandler
    from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
    from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
    from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, TaskState
    from starlette.applications import Starlette

    class Tides(AgentExecutor):
        async def execute(self, context: Any, event_queue: Any) -> None:
            await event_queue.enqueue_event(new_task_from_user_message(context.message))
            updater = TaskUpdater(event_queue, context.task_id, context.context_id)
            await updater.update_status(TaskState.TASK_STATE_WORKING, new_text_message("Looking."))
            await updater.add_artifact(
                [new_text_part("low "), new_raw_part(b"%PDF-1", "application/pdf", "t.pdf")], "a1"
            )
            await updater.add_artifact([new_text_part("water"), new_data_part({"at": "04:12"})], "a1", append=True)
            await updater.complete(new_text_message("Done."))

        async def cancel(self, context: Any, event_queue: Any) -> None:
            raise NotImplementedError

    card = AgentCard(
        name="Tides",
        description="Knows the tides.",
        version="2.0",
        supported_interfaces=[AgentInterface(url=url, protocol_binding=binding, protocol_version=version)],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="tide", name="Tide table", description="When it is low.", tags=["sea"])],
    )
    handler = DefaultRequestHandler(agent_executor=Tides(), task_store=InMemoryTaskStore(), agent_card=card)
    make = create_jsonrpc_routes if binding == "JSONRPC" else create_rest_routes
    place = {"rpc_url": "/"} if binding == "JSONRPC" else {}
    return Starlette(routes=[*create_agent_card_routes(card), *make(handler, enable_v0_3_compat=True, **place)])


async def main(binding: str, version: str, path: str) -> None:
    from a2a.client import ClientConfig, create_client
    from a2a.helpers import new_data_part, new_message, new_text_part
    from a2a.types import GetTaskRequest, Role, SendMessageRequest

    holder: list[Any] = []

    async def late(scope: Any, receive: Any, send: Any) -> None:  # the card must name the recorder's port
        await holder[0](scope, receive, send)

    running, task, port = await serve_app(late)
    proxy = await relay(Record(path), port)
    url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    holder.append(agent(url, binding, version))
    for streaming in (False, True):
        config = ClientConfig(streaming=streaming, supported_protocol_bindings=[binding])
        async with await create_client(url, config) as client:
            parts = [new_text_part("When is it low?"), new_data_part({"port": "Ayr"})]
            asked = SendMessageRequest(message=new_message(parts, role=Role.ROLE_USER))
            found = ""
            async for event in client.send_message(asked):
                found = event.task.id or event.status_update.task_id or found
            await client.get_task(GetTaskRequest(id=found))
            try:
                await client.get_task(GetTaskRequest(id="none"))
            except Exception as error:
                print("refused:", error)
    running.should_exit = True
    await task
    proxy.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
