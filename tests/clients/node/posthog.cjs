// Sends with posthog-node: posthog.cjs URL events|count [N]
const { PostHog } = require('posthog-node');
const properties = JSON.parse(process.env.PROPERTIES || '{}');

async function main([url, what, count]) {
  const failed = [];
  const client = new PostHog('phc_key', { host: url, flushAt: 5, maxBatchSize: 10, flushInterval: 100, fetchRetryCount: 20, fetchRetryDelay: 300 });
  client.on('error', (error) => failed.push(String(error)));
  if (what === 'count') {
    for (let n = 0; n < Number(count); n++) client.capture({ distinctId: `u${n % 3}`, event: 'counted', properties: { n } });
  } else {
    const timestamp = new Date('2026-03-01T10:00:00.250Z');
    client.capture({ distinctId: 'anon', event: 'before' });
    client.capture({ distinctId: 'ada', event: 'sent', properties, timestamp });
    client.capture({ distinctId: 'ada', event: 'with', properties: { $set: { plan: 'free' }, $set_once: { first: 'a' } } });
    client.identify({ distinctId: 'ada', properties: { $set: { plan: 'pro', age: 36, address: { city: 'London' } }, $set_once: { first: 'b' } } });
    client.alias({ distinctId: 'ada', alias: 'anon' });
  }
  await client.shutdown(60000);
  console.log(JSON.stringify({ failed }));
}
main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
