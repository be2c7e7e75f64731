// Sends with @rudderstack/rudder-sdk-node: rudder.cjs URL events|count [N]
const Analytics = require('@rudderstack/rudder-sdk-node');
const properties = JSON.parse(process.env.PROPERTIES || '{}');

async function main([url, what, count]) {
  const failed = [];
  const client = new (Analytics.default || Analytics)('wk', { dataPlaneUrl: url, flushAt: 5, flushInterval: 100 });
  const done = (error) => error && failed.push(String(error.message || error));
  if (what === 'count') {
    for (let n = 0; n < Number(count); n++) client.track({ userId: `u${n % 3}`, event: 'counted', properties: { n } }, done);
  } else {
    const timestamp = new Date('2026-03-01T10:00:00.250Z');
    client.track({ anonymousId: 'anon', event: 'before' }, done);
    client.track({ userId: 'ada', anonymousId: 'anon', event: 'sent', properties, timestamp, context: { ip: '1.2.3.4' } }, done);
    client.page({ userId: 'ada', category: 'shop', name: 'Home', properties: { url: '/x' } }, done);
    client.screen({ userId: 'ada', name: 'Start' }, done);
    client.identify({ userId: 'ada', anonymousId: 'anon', traits: { plan: 'pro', age: 36, address: { city: 'London' } } }, done);
    client.group({ userId: 'ada', groupId: 'acme', traits: { name: 'Acme', seats: 5 } }, done);
    client.alias({ userId: 'ada', previousId: 'old' }, done);
  }
  // flush() answers when one batch is out; the queue may hold several.
  await new Promise((resolve) => setTimeout(resolve, Number(process.env.LINGER_MS || 1500)));
  await client.flush();
  console.log(JSON.stringify({ failed }));
  process.exit(0);
}
main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
