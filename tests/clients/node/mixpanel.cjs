// Sends with mixpanel: mixpanel.cjs URL events|count|people|again [N]
const Mixpanel = require('mixpanel');
const properties = JSON.parse(process.env.PROPERTIES || '{}');

async function main([url, what, count]) {
  const { hostname, port } = new URL(url);
  const client = Mixpanel.init('token', { host: `${hostname}:${port}`, protocol: 'http', keepAlive: false, key: 'api-key' });
  const errors = [];
  const wait = (call) => new Promise((resolve) => call((error) => {
    const list = (Array.isArray(error) ? error : [error]).filter(Boolean);
    errors.push(...list.map((one) => String(one.message || one)));
    resolve();
  }));
  const time = new Date('2026-03-01T10:00:00.000Z');
  if (what === 'count') {
    const batch = [];
    for (let n = 0; n < Number(count); n++) batch.push({ event: 'counted', properties: { distinct_id: `u${n % 3}`, $insert_id: `id-${n}`, time, n } });
    // This SDK does not retry; its user does.
    for (let attempt = 0; attempt < 5; attempt++) {
      errors.length = 0;
      await wait((done) => client.import_batch(batch, done));
      if (!errors.length) break;
    }
  } else if (what === 'people') {
    await wait((done) => client.people.set('ada', { plan: 'pro', age: 36, gone: 'x' }, { $time: 1772359200 }, done));
    await wait((done) => client.people.set_once('ada', { plan: 'free', first: 'a' }, { $time: 1772359201 }, done));
    await wait((done) => client.people.unset('ada', ['gone'], { $time: 1772359202 }, done));
    await wait((done) => client.people.increment('ada', 'visits', 1, {}, done));
    await wait((done) => client.people.set('bob', { plan: 'free' }, { $time: 1772359200 }, done));
    await wait((done) => client.people.delete_user('bob', { $time: 1772359201 }, done));
  } else {
    await wait((done) => client.track('before', { distinct_id: 'anon', time }, done));
    await wait((done) => client.track('sent', { ...properties, distinct_id: 'ada', time, $insert_id: 'one' }, done));
    await wait((done) => client.alias('ada', 'anon', done));
    await wait((done) => client.track_batch([{ event: 'batched', properties: { distinct_id: 'ada', time } }], done));
    await wait((done) => client.import('imported', time, { distinct_id: 'ada' }, done));
  }
  console.log(JSON.stringify({ errors }));
}
main(process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
