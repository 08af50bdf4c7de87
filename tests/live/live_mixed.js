// The same as live_mixed.py with Node's fetch, or its package `openai`: URL TASKS EACH [openai].
const [url, tasks, each] = [process.argv[2], +process.argv[3], +process.argv[4]]
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
const texts = {
  plain: 'The quick brown fox jumps over the lazy dog.',
  card: 'Charge it to my card 4111 1111 1111 1111 please.',
  iban: 'Pay it to the IBAN DE89 3704 0044 0532 0130 00 today.',
}
const kinds = Object.keys(texts)
const done = {}
async function fetched(headers, body) {
  const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body, signal: AbortSignal.timeout(10000) })
  await answer.text()
  return answer.status
}
function throughOpenai() {
  const OpenAI = require('openai')
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-test', maxRetries: 0, timeout: 10000 })
  return async (headers, body) => {
    const answer = await client.chat.completions.create(JSON.parse(body), { headers: { 'x-number': headers['x-number'] } })
    return answer.choices[0].message.content === 'ok' ? 200 : 0
  }
}
const send = process.argv[5] === 'openai' ? throughOpenai() : fetched
async function one(number) {
  const kind = kinds[(number * 7 + (number >> 2)) % 3]
  const content = 'Please read this and answer. '.repeat(60) + texts[kind]
  const body = JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content }] })
  const headers = { 'content-type': 'application/json', 'x-number': String(number), authorization: 'Bearer sk-test' }
  const began = performance.now()
  let result
  try {
    result = await send(headers, body)
  } catch (error) {
    result = String(error.cause?.code || error.name)
  }
  done[number] = [kind, result, performance.now() - began]
}
async function work(first) {
  for (let number = first; number < tasks * each; number += tasks) await one(number)
}
process.stdin.once('data', async () => {
  await Promise.all([...Array(tasks).keys()].map(work))
  console.log(JSON.stringify(done))
  process.exit(0)
})
