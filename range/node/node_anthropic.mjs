// The `@anthropic-ai/sdk` SDK for Node.
import Anthropic from '@anthropic-ai/sdk'
import { options, prompt, run } from './common.mjs'

const given = options('node_anthropic')
const client = new Anthropic()
const request = (mark, counter) => ({
  model: 'claude-sonnet-5', max_tokens: 4096, messages: [{ role: 'user', content: prompt(mark, counter) }], ...(given.stream ? { stream: true } : {}),
})
await run(given, 'anthropic.messages', request, async (record, asked) => {
  const answer = await client.messages.create(asked)
  if (!given.stream) {
    record.text = answer.content.map((block) => block.text ?? '').join('')
    Object.assign(record, { response_id: answer.id, response_model: answer.model, usage: answer.usage, finish: [answer.stop_reason] })
    return
  }
  for await (const event of answer) {
    if (event.type === 'message_start') Object.assign(record, { response_id: event.message.id, usage: event.message.usage })
    if (event.type === 'content_block_delta') record.text += event.delta.text ?? ''
    if (event.type === 'message_delta') record.usage = { ...record.usage, ...event.usage }
  }
})
