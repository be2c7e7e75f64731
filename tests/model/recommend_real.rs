//! How good the lists are on real data, full ranking: each method against the figure that was measured elsewhere.
//!
//! Online Retail: lines with a known customer and a positive quantity, in the order of time and then of the file; the first
//! line of each customer with an item; then customers and items with at least five of those. "last": each customer's last
//! item is looked for, from all before. "time": the first nine tenths are known, and what follows is looked for.
//! Serenade: sessions of a shop, each next click from those before it.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use trodden_query::behavior::recommend::{
    Algorithm, AlsOptions, Blend, EaseOptions, Interaction, Interactions, ItemKnnOptions, Model, Part, Quality,
    RecommendSpec, Recommender, Scale, Seen, SequenceOptions, SessionKnnOptions, Similarity, Tally, Target, Weights,
    judge,
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

/// Customers, items and times of lines with a known customer and a positive quantity, in the order of the file.
fn retail_lines(path: &Path) -> Vec<(String, String, i64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let batches = runtime.block_on(async {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        context.register_parquet("lines", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        let query = r#"SELECT arrow_cast("CustomerID", 'Utf8View'), arrow_cast("StockCode", 'Utf8View'), ts FROM lines
                       WHERE "CustomerID" IS NOT NULL AND "Quantity" > 0"#;
        context.sql(query).await.unwrap().collect().await.unwrap()
    });
    let mut rows = Vec::new();
    for batch in batches {
        let texts = [0, 1].map(|column| batch.column(column).as_string_view());
        let times = batch.column(2).as_primitive::<Int64Type>();
        let row = |row| (texts[0].value(row).to_owned(), texts[1].value(row).to_owned(), times.value(row));
        rows.extend((0..batch.num_rows()).map(row));
    }
    rows
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
    let path = shared("data/online_retail/online_retail_II.parquet")?;
    let mut lines = retail_lines(&path);
    assert_eq!(lines.len(), 924_472);
    lines.sort_by_key(|line| line.2);
    let mut is_known = std::collections::HashSet::new();
    lines.retain(|line| is_known.insert((line.0.clone(), line.1.clone())));
    let mut count: HashMap<String, usize> = HashMap::new();
    for (user, item, _) in &lines {
        *count.entry(format!("user {user}")).or_default() += 1;
        *count.entry(format!("item {item}")).or_default() += 1;
    }
    lines.retain(|(user, item, _)| count[&format!("user {user}")] >= 5 && count[&format!("item {item}")] >= 5);
    let (users, items) = (codes(lines.iter().map(|line| &line.0)), codes(lines.iter().map(|line| &line.1)));
    assert_eq!((lines.len(), users.len(), items.len()), (483_649, 5_546, 4_242));
    let event = |(user, item, ts): &(String, String, i64)| {
        (users[user.as_str()], Interaction { ts_us: ts * 1_000_000, item: items[item.as_str()], kind: 0 })
    };
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
