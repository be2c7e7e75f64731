//! Cost of the funnel kernels per event that they are given. Figures are for one core.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use trodden_engine::scan::Times;
use trodden_query::behavior::funnel::{
    Count, Exclude, FunnelKernel, FunnelPartial, FunnelSpec, Order, Ties, UserInput,
};

const DAY_US: i64 = 86_400_000_000;

/// Users one after the other, as a scan delivers them.
struct Users {
    ts: Vec<i64>,
    steps: Vec<u64>,
    excludes: Vec<u64>,
    hold: Vec<u32>,
    starts: Vec<usize>,
}

/// How the events of a drawn user look.
#[derive(Clone, Copy)]
struct Draw {
    users: usize,
    events_per_user: usize,
    steps: u32,
    /// Largest time between two events.
    gap_us: u64,
    /// Of 100 events, how many satisfy two steps.
    crowded: u64,
}

/// A generator with a fixed seed (splitmix64), so that every run measures the same users.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

impl Users {
    fn draw(draw: Draw) -> Self {
        let mut random = Random(42);
        let mut users =
            Self { ts: Vec::new(), steps: Vec::new(), excludes: Vec::new(), hold: Vec::new(), starts: vec![0] };
        for _ in 0..draw.users {
            let mut ts = 1_700_000_000_000_000;
            for _ in 0..draw.events_per_user {
                ts += random.below(draw.gap_us) as i64;
                // The first steps are the frequent ones: half of the events each, then a quarter, and so on.
                let step = (random.below(1 << draw.steps) as u32).leading_zeros() - (32 - draw.steps);
                let mut mask = 1_u64 << step.min(draw.steps - 1);
                if random.below(100) < draw.crowded {
                    mask |= 1 << random.below(u64::from(draw.steps));
                }
                users.ts.push(ts);
                users.steps.push(mask);
                users.excludes.push(u64::from(random.below(20) == 0));
                users.hold.push(1 + random.below(4) as u32);
            }
            users.starts.push(users.ts.len());
        }
        users
    }

    fn inputs(&self) -> impl Iterator<Item = UserInput<'_>> {
        self.starts.windows(2).map(|bounds| {
            let range = bounds[0]..bounds[1];
            UserInput {
                times: Times::Decoded(&self.ts[range.clone()]),
                steps: &self.steps[range.clone()],
                excludes: &self.excludes[range.clone()],
                hold: &self.hold[range],
            }
        })
    }
}

fn spec(steps: u32) -> FunnelSpec {
    FunnelSpec { within_us: Some(7 * DAY_US), ..FunnelSpec::new((0..steps).map(|step| step.to_string())) }
}

fn run(criterion: &mut Criterion, group: &str, name: &str, users: &Users, kernel: &mut FunnelKernel) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(users.ts.len() as u64));
    group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
        bencher.iter(|| {
            let levels =
                users.inputs().map(|input| kernel.run(&input).iter().map(|chain| chain.level()).sum::<usize>());
            black_box(levels.sum::<usize>())
        });
    });
    group.finish();
}

fn fast(criterion: &mut Criterion) {
    let draw = Draw { users: 20_000, events_per_user: 20, steps: 3, gap_us: DAY_US as u64, crowded: 0 };
    let kernel = |spec| FunnelKernel::new(spec).unwrap();
    run(criterion, "funnel_fast", "3_steps", &Users::draw(draw), &mut kernel(spec(3)));
    run(criterion, "funnel_fast", "5_steps", &Users::draw(Draw { steps: 5, ..draw }), &mut kernel(spec(5)));
    let ties = Draw { gap_us: 2, ..draw };
    run(criterion, "funnel_fast", "3_steps_all_ties", &Users::draw(ties), &mut kernel(spec(3)));
    let mut entries = Users::draw(draw);
    entries.steps.fill(1);
    run(criterion, "funnel_fast", "entries_only", &entries, &mut kernel(spec(3)));
    let one = Draw { users: 1, events_per_user: 1_000_000, steps: 8, ..draw };
    run(criterion, "funnel_fast", "one_user_8_steps", &Users::draw(one), &mut kernel(spec(8)));
}

fn exact(criterion: &mut Criterion) {
    let draw = Draw { users: 20_000, events_per_user: 20, steps: 4, gap_us: DAY_US as u64, crowded: 0 };
    let users = Users::draw(draw);
    let gaps = vec![Some(2 * DAY_US); 3];
    let excludes = vec![Exclude { after: 1, before: 3 }];
    let cases = [
        ("plain", spec(4)),
        ("step_within", FunnelSpec { step_within_us: gaps, ..spec(4) }),
        ("exclude", FunnelSpec { excludes, ..spec(4) }),
        ("hold", FunnelSpec { hold: true, ..spec(4) }),
        ("strict", FunnelSpec { order: Order::Strict, ..spec(4) }),
        ("any_order", FunnelSpec { order: Order::Any, ..spec(4) }),
        ("attempts", FunnelSpec { count: Count::Attempts, ..spec(4) }),
        ("arrival", FunnelSpec { ties: Ties::Arrival, ..spec(4) }),
    ];
    for (name, spec) in cases {
        run(criterion, "funnel_exact", name, &users, &mut FunnelKernel::new(spec).unwrap().without_fast_path());
    }
    let crowded = Users::draw(Draw { gap_us: 3, crowded: 50, ..draw });
    run(criterion, "funnel_exact", "competing_ties", &crowded, &mut FunnelKernel::new(spec(4)).unwrap());
    let one = Users::draw(Draw { users: 1, events_per_user: 1_000_000, ..draw });
    let limited = FunnelSpec { step_within_us: vec![Some(1_000_000); 3], ..spec(4) };
    run(criterion, "funnel_exact", "one_user_step_within", &one, &mut FunnelKernel::new(limited).unwrap());
}

fn partial(criterion: &mut Criterion) {
    let draw = Draw { users: 20_000, events_per_user: 20, steps: 3, gap_us: DAY_US as u64, crowded: 0 };
    let users = Users::draw(draw);
    let mut group = criterion.benchmark_group("funnel_partial");
    group.throughput(Throughput::Elements(draw.users as u64));
    group.bench_function("kernel_add_finish", |bencher| {
        bencher.iter(|| {
            let mut kernel = FunnelKernel::new(spec(3)).unwrap();
            let mut partial = FunnelPartial::default();
            for input in users.inputs() {
                for chain in kernel.run(&input).iter() {
                    partial.add(&(), &chain);
                }
            }
            black_box(partial.finish(3))
        });
    });
    group.finish();
}

criterion_group!(benches, fast, exact, partial);
criterion_main!(benches);
