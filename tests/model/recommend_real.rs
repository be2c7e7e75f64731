//! How good the lists are on real data, full ranking: each method against the figure that was measured elsewhere.
//!
//! Online Retail: lines with a known customer and a positive quantity, in the order of time and then of the file; the first
//! line of each customer with an item; then customers and items with at least five of those. "last": each customer's last
//! item is looked for, from all before. "time": the first nine tenths are known, and what follows is looked for.
//! Baskets: all lines of these customers and items. The first nine tenths are known; of each later invoice a drawn item
//! is looked for beside the others, or what a customer buys later, again or not.
//! Serenade: sessions of a shop, each next click from those before it.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use trodden_query::behavior::recommend::{
    Algorithm, AlsOptions, Blend, EaseOptions, Effort, Interaction, Interactions, ItemKnnOptions, Model, Part,
    Protocol, Quality, RecommendSpec, Recommender, Scale, Seen, SequenceOptions, SessionKnnOptions, Similarity, Tally,
    Target, Wanted, Weights, evaluate_chain, judge,
};

/// A file of the folder beside the checkout, where it is there.
fn shared(name: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    let folder = std::env::var("TRODDEN_SHARED").unwrap_or_else(|_| beside.to_owned());
    let path = PathBuf::from(folder).join(name);
    if path.exists() {
        return Some(path);
    }
    if let Some(list) = std::env::var_os("TRODDEN_SKIPPED") {
        let mut list = File::options().create(true).append(true).open(list).unwrap();
        writeln!(list, "quality of recommendations: {} is not on this machine", path.display()).unwrap();
    }
    None
}

/// A line of an invoice.
struct Line {
    customer: String,
    invoice: String,
    item: String,
    ts: i64,
}

/// Lines with a known customer and a positive quantity, in the order of time and then of the file.
fn retail_lines(path: &Path) -> Vec<Line> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let batches = runtime.block_on(async {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        context.register_parquet("lines", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        let query = r#"SELECT arrow_cast("CustomerID", 'Utf8View'), arrow_cast("InvoiceNo", 'Utf8View'),
                              arrow_cast("StockCode", 'Utf8View'), ts FROM lines
                       WHERE "CustomerID" IS NOT NULL AND "Quantity" > 0"#;
        context.sql(query).await.unwrap().collect().await.unwrap()
    });
    let mut lines = Vec::new();
    for batch in batches {
        let texts = [0, 1, 2].map(|column| batch.column(column).as_string_view());
        let times = batch.column(3).as_primitive::<Int64Type>();
        let line = |row| {
            let [customer, invoice, item] = texts.map(|column| column.value(row).to_owned());
            Line { customer, invoice, item, ts: times.value(row) }
        };
        lines.extend((0..batch.num_rows()).map(line));
    }
    assert_eq!(lines.len(), 924_472);
    lines.sort_by_key(|line| line.ts);
    lines
}

/// The lines of customers and of items that have at least five of the first lines of a customer with an item; and those.
fn kept_lines() -> Option<(Vec<Line>, Vec<bool>)> {
    let mut lines = retail_lines(&shared("data/online_retail/online_retail_II.parquet")?);
    let mut is_known = HashSet::new();
    let is_first: Vec<bool> =
        lines.iter().map(|line| is_known.insert((line.customer.clone(), line.item.clone()))).collect();
    let mut count: HashMap<String, usize> = HashMap::new();
    for line in lines.iter().zip(&is_first).filter(|(_, first)| **first).map(|(line, _)| line) {
        *count.entry(format!("user {}", line.customer)).or_default() += 1;
        *count.entry(format!("item {}", line.item)).or_default() += 1;
    }
    let has = |what: String| count.get(&what).is_some_and(|&count| count >= 5);
    let is_kept = |line: &Line| has(format!("user {}", line.customer)) && has(format!("item {}", line.item));
    let is_first = lines.iter().zip(is_first).filter(|(line, _)| is_kept(line)).map(|(_, first)| first).collect();
    lines.retain(is_kept);
    Some((lines, is_first))
}

impl Line {
    fn of(&self, items: &HashMap<&str, u32>) -> Interaction {
        Interaction { ts_us: self.ts * 1_000_000, item: items[self.item.as_str()], kind: 0 }
    }
}

/// Sessions, items and times of clicks, in the order of the file.
fn clicks(path: &Path) -> Vec<(String, String, i64)> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let click = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        (fields[0].to_owned(), fields[1].to_owned(), fields[2].parse::<f64>().unwrap() as i64)
    };
    text.lines().skip(1).map(click).collect()
}

/// Numbers for texts, in their order.
fn codes<'a>(texts: impl Iterator<Item = &'a String>) -> HashMap<&'a str, u32> {
    let sorted: std::collections::BTreeSet<&str> = texts.map(String::as_str).collect();
    sorted.into_iter().zip(0..).collect()
}

/// Interactions, the order of items, and for each user what is to be found.
struct Trial {
    interactions: Interactions,
    ranks: Vec<u32>,
    questions: Vec<(u32, Vec<u32>)>,
}

impl Trial {
    fn new(known: &[(u32, Interaction)], wanted: &[(u32, Interaction)], items: usize) -> Self {
        let interactions = Interactions::from_events(known.iter().copied());
        let mut questions: Vec<(u32, Vec<u32>)> = Vec::new();
        let mut later: HashMap<u32, Vec<u32>> = HashMap::new();
        wanted.iter().for_each(|(user, event)| later.entry(*user).or_default().push(event.item));
        questions.extend(later.into_iter().filter(|(user, _)| !interactions.of_user(*user).is_empty()));
        questions.sort_unstable();
        Self { interactions, ranks: (0..items as u32).collect(), questions }
    }

    fn quality(&self, using: &Algorithm) -> Quality {
        let spec = RecommendSpec::new(using.clone(), Weights::new(vec![1.0]));
        let view = spec.view(&self.interactions);
        let model = Model::fit(&view, &self.ranks, using, 2).unwrap();
        let recommender = Recommender::new(&self.interactions, &self.ranks, &spec, &model).unwrap();
        judge(&recommender, &view, &self.questions, 10, 2)
    }
}

/// Lines of customers with items, in order.
fn retail() -> Option<[Trial; 2]> {
    let (lines, is_first) = kept_lines()?;
    let lines: Vec<&Line> = lines.iter().zip(is_first).filter(|(_, first)| *first).map(|(line, _)| line).collect();
    let users = codes(lines.iter().map(|line| &line.customer));
    let items = codes(lines.iter().map(|line| &line.item));
    assert_eq!((lines.len(), users.len(), items.len()), (483_649, 5_546, 4_242));
    let event = |line: &&Line| (users[line.customer.as_str()], line.of(&items));
    let events: Vec<(u32, Interaction)> = lines.iter().map(event).collect();
    let last: HashMap<u32, usize> = events.iter().enumerate().map(|(at, event)| (event.0, at)).collect();
    let (wanted, known): (Vec<_>, Vec<_>) = events.iter().enumerate().partition(|(at, event)| last[&event.0] == *at);
    let plain = |part: Vec<(usize, &(u32, Interaction))>| part.into_iter().map(|(_, event)| *event).collect::<Vec<_>>();
    let (known_in_time, wanted_in_time) = events.split_at(events.len() * 9 / 10);
    Some([
        Trial::new(&plain(known), &plain(wanted), items.len()),
        Trial::new(known_in_time, wanted_in_time, items.len()),
    ])
}

/// A method's name, its options for both protocols, and the recall and nDCG to reach in each.
type Method = (&'static str, [Algorithm; 2], [[f64; 2]; 2]);

/// Each method with the best of a small grid of options for "last" and for "time", and what is to be reached.
fn methods() -> Vec<Method> {
    let knn = |similarity, voters| {
        let options = ItemKnnOptions { neighbours: 5_000, voters, sources: 10_000, recency: 1.0, similarity };
        Algorithm::ItemKnn(options)
    };
    let same = |using: Algorithm| [using.clone(), using];
    let ease = |lambda, recency| Algorithm::Ease(EaseOptions { lambda, recency });
    let rules = |weight| Part { using: Algorithm::Sequence(SequenceOptions::default()), weight };
    let blend = |using, weight| {
        Algorithm::Blend(Blend { parts: vec![Part { using, weight: 1.0 }, rules(weight)], scale: Scale::Score })
    };
    let bm25 = Similarity::Bm25 { k1: 1.2, b: 0.75 };
    let walks = Similarity::Rp3Beta { alpha: 1.0, beta: 0.6 };
    vec![
        ("popular", same(Algorithm::Popular), [[0.036, 0.017], [0.018, 0.037]]),
        ("cosine", same(knn(Similarity::Cosine, 5_000)), [[0.093, 0.051], [0.033, 0.057]]),
        ("BM25", same(knn(bm25, 5_000)), [[0.119, 0.070], [0.038, 0.071]]),
        ("Jaccard", same(knn(Similarity::Jaccard, 5_000)), [[0.103, 0.059], [0.036, 0.063]]),
        ("LLR", [knn(Similarity::Llr, 10), knn(Similarity::Llr, 20)], [[0.126, 0.073], [0.041, 0.070]]),
        ("RP3beta", same(knn(walks, 5_000)), [[0.115, 0.065], [0.032, 0.052]]),
        ("ALS", same(Algorithm::Als(AlsOptions::default())), [[0.132, 0.073], [0.044, 0.078]]),
        ("EASE", [ease(60.0, 1.0), ease(200.0, 1.0)], [[0.175, 0.102], [0.040, 0.075]]),
        ("EASE with recency", [ease(100.0, 0.7), ease(200.0, 0.95)], [[0.281, 0.189], [0.039, 0.066]]),
        ("sequence", same(Algorithm::Sequence(SequenceOptions::default())), [[0.271, 0.197], [0.023, 0.042]]),
        ("blend", [blend(ease(100.0, 0.7), 1.0), blend(ease(200.0, 0.95), 0.5)], [[0.289, 0.197], [0.044, 0.073]]),
    ]
}

/// What a method may be below its figure. Lines of an invoice have one time, so which of them is a customer's last is a
/// matter of the order that a reader of the file chose: popularity itself, of which there is no other version, comes out 5.4 %
/// below in the order of the file, and 11 % below in the opposite one.
const BELOW_MAX: f64 = 0.055;

#[test]
fn every_method_is_as_good_as_it_was_elsewhere() {
    let Some(trials) = retail() else { return };
    let mut missed = Vec::new();
    for (name, methods, figures) in methods() {
        for (at, protocol) in ["last", "time"].into_iter().enumerate() {
            let quality = trials[at].quality(&methods[at]);
            println!("{name}, {protocol}: {quality:?}");
            let [recall, ndcg] = figures[at];
            if quality.recall < recall * (1.0 - BELOW_MAX) || quality.ndcg < ndcg * (1.0 - BELOW_MAX) {
                missed.push(format!("{name}, {protocol}: {:.4} / {:.4}", quality.recall, quality.ndcg));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Numbers that look random: SplitMix64 over the place.
fn drawn(place: u32) -> u64 {
    let mut x = (u64::from(place) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Events of the lines by what `user` says, and the moment of the first of the last tenth of all invoices.
fn by<'l>(lines: &'l [Line], user: impl Fn(&'l Line) -> &'l String) -> (Interactions, Vec<u32>, i64) {
    let (users, items) = (codes(lines.iter().map(&user)), codes(lines.iter().map(|line| &line.item)));
    let events = lines.iter().map(|line| (users[user(line).as_str()], line.of(&items)));
    let mut is_known = HashSet::new();
    let begins: Vec<i64> = lines.iter().filter(|line| is_known.insert(&line.invoice)).map(|line| line.ts).collect();
    let split_us = begins[begins.len() * 9 / 10] * 1_000_000;
    (Interactions::from_events(events), (0..items.len() as u32).collect(), split_us)
}

/// What RECOMMEND_EVAL says of the first 10.
fn evaluated(
    (interactions, ranks, split_us): &(Interactions, Vec<u32>, i64),
    protocol: Protocol,
    seen: &Seen,
    using: &Algorithm,
) -> Quality {
    let spec = RecommendSpec { seen: seen.clone(), ..RecommendSpec::new(using.clone(), Weights::new(vec![1.0])) };
    let wanted = Wanted { split_us: *split_us, k: 10, protocol, held_out: &drawn, is_asked: &|_| true };
    evaluate_chain(interactions, ranks, &[spec], wanted, &Effort::of_threads(2)).unwrap()
}

/// Notes a hit rate or a recall that is more than 5 % below its figure.
fn check(missed: &mut Vec<String>, name: &str, found: f64, figure: f64) {
    println!("{name}: {found:.4} for {figure}");
    if found < figure * 0.95 {
        missed.push(format!("{name}: {found:.4} for {figure}"));
    }
}

#[test]
fn baskets_are_completed() {
    let Some((lines, _)) = kept_lines() else { return };
    // Who shares a basket counts, and not who shares a customer.
    let invoices = by(&lines, |line| &line.invoice);
    let knn = |similarity| Algorithm::ItemKnn(ItemKnnOptions::of(similarity));
    let mut missed = Vec::new();
    for (name, using, figure) in [
        ("popular", Algorithm::Popular, 0.032),
        ("Jaccard", knn(Similarity::Jaccard), 0.225),
        ("LLR", knn(Similarity::Llr), 0.224),
        ("RP3beta", Algorithm::ItemKnn(ItemKnnOptions::rp3beta_of_baskets()), 0.247),
        ("EASE", Algorithm::Ease(EaseOptions::default()), 0.305),
    ] {
        let quality = evaluated(&invoices, Protocol::Basket, &Seen::Exclude, &using);
        println!("{quality:?}");
        check(&mut missed, name, quality.hit_rate, figure);
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn next_baskets() {
    let Some((lines, _)) = kept_lines() else { return };
    let customers = by(&lines, |line| &line.customer);
    let mut missed = Vec::new();
    for (name, using, figure) in [("popular", Algorithm::Popular, 0.030), ("repurchase", Algorithm::Repurchase, 0.159)]
    {
        let quality = evaluated(&customers, Protocol::NextBasket, &Seen::Include, &using);
        println!("{quality:?}");
        check(&mut missed, name, quality.recall, figure);
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn next_clicks_of_sessions() {
    let (Some(train), Some(test)) = (shared("data/serenade/train.csv.gz"), shared("data/serenade/test.csv.gz")) else {
        return;
    };
    let (train, mut test) = (clicks(&train), clicks(&test));
    test.sort_by_key(|click| click.2);
    let users = codes(train.iter().map(|click| &click.0));
    let items = codes(train.iter().chain(&test).map(|click| &click.1));
    let click = |(user, item, ts): &(String, String, i64)| {
        (users[user.as_str()], Interaction { ts_us: ts * 1_000_000, item: items[item.as_str()], kind: 0 })
    };
    let interactions = Interactions::from_events(train.iter().map(click));
    let ranks: Vec<u32> = (0..items.len() as u32).collect();
    // The file names its sessions; nearly all are short, and a gap of a month cuts none of them.
    let options = SessionKnnOptions { gap_us: 30 * 86_400_000_000, ..SessionKnnOptions::default() };
    let using = Algorithm::SessionKnn(options);
    let spec = RecommendSpec { top: 20, seen: Seen::Include, ..RecommendSpec::new(using, Weights::new(vec![1.0])) };
    let view = spec.view(&interactions);
    let model = Model::fit(&view, &ranks, &spec.using, 1).unwrap();
    let recommender = Recommender::new(&interactions, &ranks, &spec, &model).unwrap();
    let mut sessions: HashMap<&str, Vec<u32>> = HashMap::new();
    test.iter().for_each(|(session, item, _)| sessions.entry(session).or_default().push(items[item.as_str()]));
    let mut tally = Tally::new(&view);
    for clicks in sessions.values() {
        for next in 1..clicks.len() {
            tally.add(&recommender.items(Target::Items(&clicks[..next])), &clicks[next..=next], 20);
        }
    }
    let quality = tally.finish();
    println!("{quality:?}");
    assert_eq!(quality.users, 931);
    assert!(quality.hit_rate >= 0.621 && quality.mrr >= 0.296, "{quality:?}");
}
