//! RECOMMEND: which items next, for a user, beside an item, or into a basket.
//!
//! ```text
//! events  ->  Interactions  ->  View  ->  Model  ->  Recommender  ->  Recommended
//!             all of them       counts    learned    scores, cut      item, score, because
//! ```
//!
//! Each algorithm is a file. Scores are sums over the items of a history, so a list can tell which of them it comes from.

mod als;
mod blend;
mod chain;
mod classes;
mod companions;
mod ease;
mod effort;
mod evaluate;
mod every_item;
mod found;
mod histories;
mod interactions;
mod item_knn;
mod linear;
mod llr;
mod model;
mod overlaps;
mod pairs;
mod popular;
mod ranking;
mod recency;
mod recommender;
mod repurchase;
mod rows;
mod scores;
mod sequence;
mod session_knn;
mod shared_users;
mod spec;
mod view;

pub use als::{ALS_FACTORS_MAX, Als, AlsOptions};
pub use blend::{BLEND_PARTS_MAX, Blend, Part, Scale};
pub use chain::{CHAIN_MAX, Chain};
pub use companions::{Companion, companions};
pub use ease::{EASE_ITEMS_MAX, Ease, EaseOptions};
pub use effort::Effort;
pub use evaluate::{Protocol, Quality, Tally, Wanted, evaluate, evaluate_chain, judge};
pub use every_item::ListsOfItems;
pub use interactions::{Interaction, Interactions};
pub use item_knn::{ItemKnn, ItemKnnOptions, Similarity};
pub use model::{Model, Target};
pub use pairs::Pairs;
pub use popular::{TrendingOptions, popular, trending};
pub use recency::{Recency, basket, history};
pub use recommender::{Recommended, Recommender, scores};
pub use rows::Row;
pub use scores::{Scores, Source};
pub use sequence::{Sequence, SequenceOptions, successors};
pub use session_knn::{SessionKnn, SessionKnnOptions};
pub use spec::{Algorithm, Diversify, RecommendSpec, Seen, TOP_MAX};
pub use view::{Fixed, View, WEIGHT_MAX, Weights};
