// What the Node clients share: the options and the truth of the Python clients (range/proving/clients/_common.py).
import { appendFileSync } from 'node:fs'

const TOPICS = ['Explain why the sky is blue', 'Erzähle mir etwas über Käsefondue', '東京の天気はどうですか', 'What does 👩‍💻 mean', 'quotes " \\ and\nlines']

export function options(client) {
  const given = { client, n: 1, stream: false, mode: 'plain', truth: process.env.RANGE_TRUTH ?? '', run: process.env.RANGE_RUN ?? '0' }
  const words = process.argv.slice(2)
  while (words.length) {
    const word = words.shift()
    if (word === '--stream' || word === '--no-stream') given.stream = word === '--stream'
    else if (word === '--n') given.n = Number(words.shift())
    else if (word === '--mode' || word === '--run' || word === '--truth') given[word.slice(2)] = words.shift()
    else throw new Error(`unknown option ${word}`)
  }
  return given
}

export const marker = (options, counter) => `[[${options.client}.${options.run} w0 c${counter}]]`
export const prompt = (mark, counter) => `${mark} ` + Array(1 + (counter % 7) * 5).fill(TOPICS[counter % TOPICS.length]).join('; ')

// Runs `ask(record)` for each request, all at once in mode "many"; it fills in what it got.
export async function run(options, api, request, ask) {
  const one = async (counter) => {
    const mark = marker(options, counter)
    const asked = request(mark, counter)
    const record = {
      client: options.client, run: options.run, worker: 0, counter, marker: mark, api, stream: options.stream, model: asked.model, request: asked,
      text: '', texts: [], tool_calls: [], usage: {}, finish: [], response_id: '', response_model: '', status: 200, error: '',
      pid: process.pid, tid: process.pid, started: Date.now() / 1000,
    }
    await ask(record, asked)
    record.ended = Date.now() / 1000
    if (record.text && !record.texts.length) record.texts = [record.text]
    if (!(record.text + JSON.stringify(record.tool_calls)).includes(mark)) throw new Error(`${mark} is not in the answer`)
    if (options.truth) appendFileSync(options.truth, JSON.stringify(record) + '\n')
  }
  const numbers = [...Array(options.n).keys()]
  if (options.mode === 'many') await Promise.all(numbers.map(one))
  else for (const number of numbers) await one(number)
}
