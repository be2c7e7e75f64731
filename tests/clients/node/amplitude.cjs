// Sends with @amplitude/analytics-node: amplitude.cjs URL events|count|bad [N]
const amplitude = require('@amplitude/analytics-node');
const properties = JSON.parse(process.env.PROPERTIES || '{}');

async function main([url, what, count]) {
  const client = amplitude.createInstance();
  await client.init('key', {
    serverUrl: `${url}/2/httpapi`, flushQueueSize: 5, flushIntervalMillis: 100, flushMaxRetries: 20,
    logLevel: amplitude.Types.LogLevel.None,
  }).promise;
  const sent = [];
  if (what === 'count') {
    for (let n = 0; n < Number(count); n++) sent.push(client.track('counted', { n }, { user_id: `u${n % 3}` }));
  } else if (what === 'bad') {
    sent.push(client.track('good', { n: 1 }, { user_id: 'ada' }));
    sent.push(client.track('no time', { n: 2 }, { user_id: 'ada', time: 'yesterday' }));
    sent.push(client.track('good', { n: 3 }, { user_id: 'ada' }));
  } else {
    sent.push(client.track('before', {}, { device_id: 'phone' }));
    sent.push(client.track('sent', properties, { user_id: 'ada', device_id: 'phone', time: Date.parse('2026-03-01T10:00:00.250Z') }));
    const first = new amplitude.Identify().set('plan', 'pro').set('age', 36).set('gone', 'x').setOnce('first', 'a');
    sent.push(client.identify(first, { user_id: 'ada', device_id: 'phone' }));
    await Promise.all(sent.map((one) => one.promise));
    const second = new amplitude.Identify().unset('gone').setOnce('first', 'b').add('visits', 1);
    sent.push(client.identify(second, { user_id: 'ada', device_id: 'phone' }));
  }
  // flush() sends once and gives up on what fails; the timer sends again.
  const answers = await Promise.all(sent.map((one) => one.promise));
  console.log(JSON.stringify({ codes: answers.map((answer) => answer.code), messages: answers.map((answer) => answer.message) }));
  process.exit(0);
}
main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
