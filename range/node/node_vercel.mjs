// The `ai` SDK (Vercel) with its OpenAI provider: the Responses API.
import { openai } from '@ai-sdk/openai'
import { generateText, streamText } from 'ai'
import { options, prompt, run } from './common.mjs'

const given = options('node_vercel')
const request = (mark, counter) => ({ model: 'gpt-4o-mini', prompt: prompt(mark, counter) })
await run(given, 'openai.responses', request, async (record, asked) => {
  const call = { model: openai(asked.model), prompt: asked.prompt }
  if (!given.stream) {
    const answer = await generateText(call)
    record.text = answer.text
    record.usage = { input_tokens: answer.usage.inputTokens, output_tokens: answer.usage.outputTokens }
    return
  }
  const answer = streamText(call)
  for await (const piece of answer.textStream) record.text += piece
  const usage = await answer.usage
  record.usage = { input_tokens: usage.inputTokens, output_tokens: usage.outputTokens }
})
