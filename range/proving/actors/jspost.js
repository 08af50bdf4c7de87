// Sends random bytes over HTTPS again and again: jspost.js URL METHOD SIZE PERIOD JITTER COUNT [kept]. kept: all on one
// connection. SIZE 0: nothing but the request.
const crypto = require('crypto'), https = require('https');
const [url, method, size, period, jitter, count, kept] = process.argv.slice(2);
const agent = new https.Agent({ keepAlive: kept === 'kept', maxSockets: 1 });
let done = 0;
function call() {
  const body = Number(size) ? crypto.randomBytes(Number(size)) : null;
  const headers = body ? { 'Content-Type': 'application/octet-stream', 'Content-Length': body.length } : {};
  const path = body ? '' : '?n=' + crypto.randomBytes(4).toString('hex');
  const asked = https.request(url + path, { method, agent, headers }, (answer) => {
    answer.resume();
    answer.on('end', next);
  });
  asked.on('error', (error) => { console.error(String(error)); process.exit(1); });
  asked.end(body || undefined);
}
function next() {
  if (++done < Number(count)) {
    setTimeout(call, 1000 * period * (1 + (2 * Math.random() - 1) * jitter));
  } else {
    agent.destroy();
    console.log(done, 'sent');
  }
}
call();
