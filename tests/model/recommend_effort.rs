//! Models end when they are to end, and ask before they take memory.

use crate::recommend_case::{ITEMS, USERS};
use std::sync::atomic::{AtomicUsize, Ordering};
use trodden_engine::error::{Error, ErrorKind};
use trodden_query::behavior::recommend::{
    Algorithm, AlsOptions, Blend, EaseOptions, Effort, Interaction, Interactions, Model, Part, Scale, View, Weights,
};

fn interactions() -> Interactions {
    let event = |user: u32, place: u32| {
        let item = (user * 3 + place * 5) % ITEMS;
        (user, Interaction { ts_us: i64::from(place), item, kind: 0 })
    };
    Interactions::from_events((0..USERS).flat_map(|user| (0..4).map(move |place| event(user, place))))
}

fn fit(algorithm: &Algorithm, effort: &Effort<'_>) -> Result<Model, Error> {
    let (interactions, ranks) = (interactions(), (0..ITEMS).collect::<Vec<u32>>());
    Model::fit_within(&View::whole(&interactions, Weights::new(vec![1.0])), &ranks, algorithm, effort)
}

fn heavy() -> [Algorithm; 3] {
    let part = |using: Algorithm| Part { using, weight: 1.0 };
    let als = Algorithm::Als(AlsOptions { factors: 8, ..AlsOptions::default() });
    let blend = Blend { parts: vec![part(Algorithm::Popular), part(als.clone())], scale: Scale::Score };
    [Algorithm::Ease(EaseOptions::default()), als, Algorithm::Blend(blend)]
}

#[test]
fn a_model_that_nobody_wants_ends() {
    for algorithm in heavy() {
        for turns in 0..4 {
            let asked = AtomicUsize::new(0);
            let go_on = || asked.fetch_add(1, Ordering::Relaxed) < turns;
            let found = fit(&algorithm, &Effort { go_on: &go_on, ..Effort::of_threads(1) });
            match found {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled),
                // Seven items are one block.
                Ok(_) => assert!(turns > 0 && matches!(algorithm, Algorithm::Ease(_)), "{algorithm:?} after {turns}"),
            }
        }
        fit(&algorithm, &Effort::of_threads(2)).unwrap();
    }
}

#[test]
fn memory_is_asked_for_before_it_is_taken() {
    for algorithm in heavy() {
        let bytes = AtomicUsize::new(0);
        let count = |more: usize| {
            bytes.fetch_add(more, Ordering::Relaxed);
            Ok(())
        };
        let model = fit(&algorithm, &Effort { memory: &count, ..Effort::of_threads(1) }).unwrap();
        let asked = bytes.into_inner();
        let floor = match algorithm {
            Algorithm::Ease(_) => ITEMS.pow(2) as usize * 12,
            _ => (ITEMS + USERS) as usize * 8 * 4,
        };
        assert!(asked >= floor && model.heap_bytes() > 0, "{asked} bytes for {algorithm:?}");
        let refuse = |_: usize| Err(Error::new(ErrorKind::ResourceLimit, "no"));
        let error = fit(&algorithm, &Effort { memory: &refuse, ..Effort::of_threads(1) }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceLimit);
    }
}
