//! `HAS_TAG(user_id, 'vip')`, `HAS_TAG(user_id, 'tier', 'gold')`, `TAG_VALUE(user_id, 'tier')`.
//!
//! A call goes through three states: as it is written; with the table whose tags it means; and with the members of the
//! tag as of a snapshot. Only then it can be computed, and a scan of that table understands it as a condition on users.

use crate::error::Error;
use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, StringViewArray, StringViewBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use trodden_engine::members::Members;
use trodden_engine::table::Snapshot;
use trodden_engine::tags::Tag;

/// What is asked of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asks {
    /// Whether a user is in it.
    Has,
    /// Which value a user has: of several the first in order.
    Value,
}

impl Asks {
    fn name(self) -> &'static str {
        match self {
            Self::Has => "has_tag",
            Self::Value => "tag_value",
        }
    }

    /// In capitals, as a person writes it.
    pub(crate) fn in_capitals(self) -> &'static str {
        match self {
            Self::Has => "HAS_TAG",
            Self::Value => "TAG_VALUE",
        }
    }

    /// How many arguments it has at most.
    pub(crate) fn most_arguments(self) -> usize {
        match self {
            Self::Has => 3,
            Self::Value => 2,
        }
    }

    /// How it is written.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Has => "HAS_TAG(user_id, 'tag') or HAS_TAG(user_id, 'tag', 'value')",
            Self::Value => "TAG_VALUE(user_id, 'tag')",
        }
    }
}

/// A function of tags, in one of its states.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TagFunction {
    pub(crate) asks: Asks,
    signature: Signature,
    /// The table whose tags are meant, and the tag there, once that is known.
    pub(crate) means: Option<(String, String)>,
    /// The tag, once the snapshot is known.
    pub(crate) bound: Option<Bound>,
}

/// A tag as of a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    snapshot: Snapshot,
    tag: String,
    version: u64,
    members: Asked,
}

/// Who counts.
#[derive(Debug, Clone)]
enum Asked {
    Has(Arc<Members>),
    Value(Arc<Vec<(String, Members)>>),
}

// Two are the same where the same question is asked of the same state; its bitmaps need not be compared.
impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        let is_same = match (&self.members, &other.members) {
            (Asked::Has(mine), Asked::Has(others)) => Arc::ptr_eq(mine, others),
            (Asked::Value(mine), Asked::Value(others)) => Arc::ptr_eq(mine, others),
            _ => false,
        };
        is_same && self.snapshot.id == other.snapshot.id && self.snapshot.position == other.snapshot.position
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.snapshot.id, self.snapshot.position, &self.tag, self.version).hash(state);
    }
}

impl TagFunction {
    /// As it is written.
    pub(crate) fn new(asks: Asks) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Self { asks, signature, means: None, bound: None }
    }

    /// As a function of SQL.
    pub(crate) fn into_udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }

    /// The function of tags that `call` is a call of.
    pub(crate) fn of(call: &ScalarFunction) -> Option<&Self> {
        let inner: &dyn std::any::Any = call.func.inner().as_ref();
        inner.downcast_ref::<Self>()
    }

    /// With the table and its tag.
    pub(crate) fn meaning(&self, means: (String, String)) -> Self {
        Self { means: Some(means), ..self.clone() }
    }

    /// With the tag of a snapshot; `value` is the third argument.
    ///
    /// # Errors
    /// `InvalidInput` where a value is asked of a tag without values; `Corrupt`.
    pub(crate) fn with_tag(&self, snapshot: &Snapshot, tag: &Tag, value: Option<&str>) -> crate::error::Result<Self> {
        let name = &tag.info().name;
        if !tag.by_value() && (value.is_some() || self.asks == Asks::Value) {
            return Err(Error::invalid(format!("tag '{name}' has no values")).with_hint(format!(
                "ask HAS_TAG(user_id, '{name}'); a tag of a query with columns user_id and value has some"
            )));
        }
        let members = match self.asks {
            Asks::Has => Asked::Has(Arc::new(tag.users(value)?)),
            Asks::Value => {
                let of_value = |value: &str| Ok((value.to_string(), tag.users(Some(value))?));
                Asked::Value(Arc::new(tag.values().map(of_value).collect::<crate::error::Result<_>>()?))
            }
        };
        let bound = Bound { snapshot: snapshot.clone(), tag: name.clone(), version: tag.version(), members };
        Ok(Self { bound: Some(bound), ..self.clone() })
    }
}

impl Bound {
    /// The users who have the tag, and the snapshot whose users they are; `None` where a value is asked.
    pub(crate) fn users(&self) -> Option<(&Snapshot, &Arc<Members>)> {
        match &self.members {
            Asked::Has(members) => Some((&self.snapshot, members)),
            Asked::Value(_) => None,
        }
    }
}

/// The members that `expr` asks for, where it is a condition on the users of the table with the number `table`.
pub(crate) fn members_asked(expr: &Expr, table: u64) -> Option<Arc<Members>> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let bound = TagFunction::of(call)?.bound.as_ref().filter(|bound| bound.snapshot.id == table)?;
    let is_user = matches!(call.args.first(), Some(Expr::Column(Column { name, .. })) if name == "user_id");
    match &bound.members {
        Asked::Has(members) if is_user => Some(Arc::clone(members)),
        _ => None,
    }
}

impl ScalarUDFImpl for TagFunction {
    fn name(&self) -> &str {
        self.asks.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(match self.asks {
            Asks::Has => DataType::Boolean,
            Asks::Value => DataType::Utf8View,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(bound) = &self.bound else {
            return Err(Error::unsupported(format!("{} cannot be asked here", self.asks.in_capitals()))
                .with_hint("ask it in a query over an event table")
                .into());
        };
        let who = args.args.into_iter().next().ok_or_else(|| Error::internal("a tag of nobody"))?;
        let is_one = matches!(who, ColumnarValue::Scalar(_));
        let ids = cast(&who.into_array(if is_one { 1 } else { args.number_rows })?, &DataType::Utf8View)?;
        let ids =
            ids.as_any().downcast_ref::<StringViewArray>().ok_or_else(|| Error::internal("ids that are no texts"))?;
        let answer = bound.answer(ids)?;
        match is_one {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?)),
            false => Ok(ColumnarValue::Array(answer)),
        }
    }
}

impl Bound {
    /// The answer for each of `ids`; of NULL it is NULL.
    fn answer(&self, ids: &StringViewArray) -> Result<ArrayRef> {
        let mut place_of: HashMap<&str, usize> = HashMap::new();
        let mut distinct: Vec<&str> = Vec::new();
        for id in ids.iter().flatten() {
            place_of.entry(id).or_insert_with(|| {
                distinct.push(id);
                distinct.len() - 1
            });
        }
        let places = self.snapshot.ordinals_of(&distinct).map_err(|error| DataFusionError::from(Error::from(error)))?;
        let place = |id: &str| place_of.get(id).and_then(|&at| places[at]);
        Ok(match &self.members {
            Asked::Has(members) => {
                let has = |id| place(id).is_some_and(|(shard, ordinal)| members.contains(usize::from(shard), ordinal));
                Arc::new(ids.iter().map(|id| id.map(has)).collect::<BooleanArray>())
            }
            Asked::Value(values) => {
                let mut texts = StringViewBuilder::with_capacity(ids.len());
                for id in ids {
                    let place = id.and_then(place);
                    let value = place.and_then(|(shard, ordinal)| {
                        values.iter().find(|(_, members)| members.contains(usize::from(shard), ordinal))
                    });
                    texts.append_option(value.map(|(text, _)| text));
                }
                Arc::new(texts.finish())
            }
        })
    }
}
