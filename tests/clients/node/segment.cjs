// Sends with @segment/analytics-node: segment.cjs URL events|count [N]
const { Analytics } = require('@segment/analytics-node');
const properties = JSON.parse(process.env.PROPERTIES || '{}');

async function main([url, what, count]) {
  const failed = [];
  const analytics = new Analytics({ writeKey: 'wk', host: url, flushAt: 5, flushInterval: 100, maxRetries: 20 });
  analytics.on('error', (error) => failed.push(String(error.reason || error)));
  if (what === 'count') {
    for (let n = 0; n < Number(count); n++) analytics.track({ userId: `u${n % 3}`, event: 'counted', properties: { n } });
  } else {
    const timestamp = new Date('2026-03-01T10:00:00.250Z');
    analytics.track({ anonymousId: 'anon', event: 'before', properties: {} });
    analytics.track({ userId: 'ada', anonymousId: 'anon', event: 'sent', properties, timestamp, context: { ip: '1.2.3.4' } });
    analytics.page({ userId: 'ada', category: 'shop', name: 'Home', properties: { url: '/x' } });
    analytics.screen({ userId: 'ada', name: 'Start' });
    analytics.identify({ userId: 'ada', anonymousId: 'anon', traits: { plan: 'pro', age: 36, address: { city: 'London' } } });
    analytics.group({ userId: 'ada', groupId: 'acme', traits: { name: 'Acme', seats: 5 } });
    analytics.alias({ userId: 'ada', previousId: 'old' });
  }
  await analytics.closeAndFlush({ timeout: 60000 });
  console.log(JSON.stringify({ failed }));
}
main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
