// The `openai` SDK for Node.
import OpenAI from 'openai'
import { options, prompt, run } from './common.mjs'

const given = options('node_openai')
const client = new OpenAI()
const request = (mark, counter) => ({
  model: 'gpt-4o-mini', messages: [{ role: 'user', content: prompt(mark, counter) }],
  ...(given.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
})
await run(given, 'openai.chat', request, async (record, asked) => {
  const answer = await client.chat.completions.create(asked)
  if (!given.stream) {
    record.text = answer.choices[0].message.content
    Object.assign(record, { response_id: answer.id, response_model: answer.model, usage: answer.usage, finish: [answer.choices[0].finish_reason] })
    return
  }
  for await (const chunk of answer) {
    Object.assign(record, { response_id: chunk.id, response_model: chunk.model })
    if (chunk.usage) record.usage = chunk.usage
    record.text += chunk.choices[0]?.delta?.content ?? ''
  }
})
