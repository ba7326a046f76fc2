"""Run where Inspect Scout is installed: every transcript of a database, as JSON lines."""

import asyncio
import json
import sys


async def main() -> None:
    from inspect_scout import TranscriptContent, transcripts_from

    async with transcripts_from(sys.argv[1]).reader() as reader:
        async for info in reader.index():
            found = await reader.read(info, TranscriptContent(messages="all", events="all"))
            messages = [
                [each.role, each.text, len(getattr(each, "tool_calls", None) or [])]
                for each in found.messages
            ]
            told = {"id": info.transcript_id, "task": info.task_id, "messages": messages}
            print(json.dumps(told | {"tokens": info.total_tokens, "score": info.score}))


if __name__ == "__main__":
    asyncio.run(main())
