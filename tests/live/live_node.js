// One request over TLS: PORT PROMPT.
const https = require('node:https')
const [port, prompt] = process.argv.slice(2)
const body = JSON.stringify({ model: 'range', messages: [{ role: 'user', content: prompt }] })
const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
const options = { host: '127.0.0.1', port, path: '/v1/chat/completions', method: 'POST', headers, rejectUnauthorized: false }
https.request(options, (answer) => answer.setEncoding('utf8').on('data', (text) => process.stdout.write(text))).end(body)
