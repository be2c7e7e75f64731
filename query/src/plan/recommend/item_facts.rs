//! What the newest event of an item says of the item: `boost` and the category of `diversify`.
//!
//! ```text
//! call -> plan: the columns that both read become columns of the operator, behind the item
//!      -> FactExprs -> NewestRows, one a thread -> ItemFacts, by code of item
//! ```
//!
//! The expressions are computed of one row an item, after all events are read, and not of every event.

use crate::behavior::recommend::Diversify;
use crate::error::{Error, Result};
use crate::plan::arguments::{Call, list_items, part_arguments};
use crate::plan::intern::Interner;
use crate::plan::node::{OperatorNode, Role};
use crate::plan::operator::{Decoder, Operator, UserRows};
use crate::plan::planner::Planner;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, SchemaRef};
use datafusion::common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;
use datafusion::sql::sqlparser::tokenizer::Span;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The role of the expression that multiplies scores.
const BOOST: Role = Role::Constant("boost", 0);
/// The role of the expression that names the category.
const CATEGORY: Role = Role::Constant("category", 0);
/// The role of the number of items of one category.
const MAX: Role = Role::Constant("max", 0);

/// Reads `boost` and `diversify` out of the call; says whether there is one of them.
///
/// # Errors
/// What is wrong with them, at its place.
pub(super) fn plan(planner: &mut Planner<'_>, call: &mut Call, input: &DFSchema) -> Result<bool> {
    let mut exprs = Vec::new();
    if let Some(argument) = call.take("boost") {
        let expr = planner.expr(argument.value)?;
        check_boost(&expr, input, argument.span)?;
        exprs.push((BOOST, expr, argument.span));
    }
    if let Some((category, max, span)) = diversify(call)? {
        exprs.push((CATEGORY, planner.expr(category)?, span));
        let max = planner.expr(max)?;
        planner.push(MAX, max, span);
    }
    let mut columns: BTreeSet<Column> = BTreeSet::new();
    for (role, expr, span) in &exprs {
        if has_subquery(expr) {
            let message =
                "boost and diversify look at the newest event of an item, and a subquery is none of its columns";
            let hint = "join what you need in a subquery: RECOMMEND((SELECT e.*, … FROM events e JOIN …), …)";
            return Err(Error::unsupported(message).with_hint(hint).at(*span));
        }
        columns.extend(expr.column_refs().into_iter().cloned());
        planner.push(*role, expr.clone(), *span);
    }
    for (i, column) in columns.into_iter().enumerate() {
        planner.push(Role::Column(i + 1), Expr::Column(column), call.span);
    }
    Ok(!exprs.is_empty())
}

fn has_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|expr| Ok(matches!(expr, Expr::ScalarSubquery(_)))).unwrap_or(false)
}

fn check_boost(expr: &Expr, input: &DFSchema, span: Span) -> Result<()> {
    // A parameter has no type yet.
    let Ok(data_type) = expr.get_type(input) else { return Ok(()) };
    if data_type.is_numeric() || data_type == DataType::Null {
        return Ok(());
    }
    Err(Error::invalid(format!("boost multiplies a score, so it is a number, but this is {data_type}"))
        .with_hint("such as CASE WHEN category = 'new' THEN 2 ELSE 1 END")
        .at(span))
}

/// `diversify => DIVERSIFY(category, max => 3)`: category and number, and where they stand.
fn diversify(call: &mut Call) -> Result<Option<(SqlExpr, SqlExpr, Span)>> {
    let example = "diversify => DIVERSIFY(category, max => 3)";
    let Some(argument) = call.take("diversify") else { return Ok(None) };
    let span = argument.span;
    let wrong = |message: &str| Error::invalid(message.to_string()).with_hint(example).at(span);
    let part = match argument.value {
        SqlExpr::Function(part) if part.name.to_string().eq_ignore_ascii_case("DIVERSIFY") => part,
        _ => return Err(wrong("diversify takes DIVERSIFY(category, max => number)")),
    };
    let (mut category, mut max) = (None, None);
    for (name, value) in part_arguments(part)? {
        let place = match name {
            None => &mut category,
            Some(name) if name.value.eq_ignore_ascii_case("max") => &mut max,
            Some(name) => {
                let message = format!("DIVERSIFY has no argument '{}'", name.value);
                return Err(Error::invalid(message).with_hint(example).at(name.span));
            }
        };
        if place.replace(value).is_some() {
            return Err(wrong("DIVERSIFY takes one category and one max"));
        }
    }
    match (category, max) {
        (Some(category), Some(max)) if list_items(category.clone()).len() == 1 => Ok(Some((category, max, span))),
        (Some(_), Some(_)) => Err(wrong("DIVERSIFY takes one category and one max")),
        (None, _) => Err(wrong("DIVERSIFY needs the category that it limits")),
        (_, None) => Err(wrong("DIVERSIFY needs max, the items of one category in a list")),
    }
}

/// What is computed of the newest row of each item.
#[derive(Debug, Clone)]
pub(super) struct FactExprs {
    /// The columns of the operator behind the item.
    schema: SchemaRef,
    boost: Option<(Arc<dyn PhysicalExpr>, Span)>,
    category: Option<Arc<dyn PhysicalExpr>>,
    max: usize,
}

impl FactExprs {
    /// The expressions of a node. `None` where there are none, or not all is known yet.
    ///
    /// # Errors
    /// `InvalidInput` at what is wrong with them.
    pub(super) fn of<O: Operator>(node: &OperatorNode<O>, complete: bool) -> Result<Option<Self>> {
        let count = |value: &ScalarValue| super::constants::count(value, "max");
        let max = node.constant(("max", 0), complete, count)?.unwrap_or(1);
        if max == 0 {
            return Err(Error::invalid("DIVERSIFY allows no item of a category")
                .with_hint("give max 1 or more, or leave items out with candidates")
                .at(node.span(MAX)));
        }
        let exprs = [BOOST, CATEGORY].map(|role| node.expr(role));
        if !complete || exprs == [None, None] {
            return Ok(None);
        }
        let schema = row_schema(node)?;
        let physical = |expr: &Expr| {
            create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
        };
        let [boost, category] = exprs.map(|expr| expr.map(physical).transpose());
        let boost = boost?.map(|boost| (boost, node.span(BOOST)));
        Ok(Some(Self { boost, category: category?, max, schema: Arc::clone(schema.inner()) }))
    }

    /// The first of `fields` multiplies, the second is the category, each where it is wanted.
    #[cfg(test)]
    pub(super) fn of_columns(fields: Vec<Field>, boosts: bool, divides: bool) -> Self {
        let column = |at: usize| -> Arc<dyn PhysicalExpr> {
            Arc::new(datafusion::physical_expr::expressions::Column::new(fields[at].name(), at))
        };
        let (boost, category) = (boosts.then(|| (column(0), Span::empty())), divides.then(|| column(1)));
        Self { schema: Arc::new(datafusion::arrow::datatypes::Schema::new(fields)), boost, category, max: 1 }
    }

    /// The columns of the operator that the expressions read, behind the item.
    fn columns(&self) -> usize {
        self.schema.fields().len()
    }

    /// The values of the expressions for rows given as tuples of codes.
    fn values(&self, tuples: &[&[u32]], decoder: &dyn Decoder) -> Result<(Option<ArrayRef>, Option<ArrayRef>)> {
        let mut columns = Vec::with_capacity(self.columns());
        for (at, field) in self.schema.fields().iter().enumerate() {
            let codes: Vec<u32> = tuples.iter().map(|tuple| tuple[at]).collect();
            let values = decoder.column_values(at + 1, &codes)?;
            columns.push(cast(&values, field.data_type()).map_err(DataFusionError::from)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(tuples.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        let batch = batch.map_err(DataFusionError::from)?;
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch)?.into_array(tuples.len());
        let boost = match &self.boost {
            None => None,
            Some((expr, span)) => {
                let numbers = evaluate(expr).map_err(|error| Error::from(error).at(*span))?;
                Some(cast(&numbers, &DataType::Float64).map_err(DataFusionError::from)?)
            }
        };
        Ok((boost, self.category.as_ref().map(evaluate).transpose()?))
    }
}

/// The columns behind the item as the expressions name them.
fn row_schema<O: Operator>(node: &OperatorNode<O>) -> Result<DFSchema> {
    let input = node.input.schema();
    let mut fields: Vec<(Option<TableReference>, Arc<Field>)> = Vec::new();
    for (i, expr) in node.exprs_of(|i| Role::Column(i + 1)).into_iter().enumerate() {
        let (qualifier, name) = match expr {
            Expr::Column(column) => (column.relation.clone(), column.name.clone()),
            _ => (None, format!("constant {i}")),
        };
        fields.push((qualifier, Arc::new(Field::new(name, expr.get_type(input)?, true))));
    }
    Ok(DFSchema::new_with_metadata(fields, HashMap::new())?)
}

/// The newest event of each item that one thread met, as codes of the columns behind the item. Of events of equal time all
/// are kept, so that it does not matter who met them first.
#[derive(Debug, Default)]
pub(super) struct NewestRows {
    columns: usize,
    /// By code of item.
    items: Vec<NewestRow>,
    /// The codes of the event at hand.
    tuple: Vec<u32>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct NewestRow {
    ts_us: i64,
    tuples: BTreeSet<Box<[u32]>>,
}

impl NewestRows {
    /// Nothing yet, for these expressions.
    pub(super) fn new(exprs: &FactExprs) -> Self {
        Self { columns: exprs.columns(), ..Self::default() }
    }

    /// Looks at an event of an item.
    pub(super) fn note(&mut self, item: u32, ts_us: i64, rows: &UserRows<'_>, event: usize) {
        if self.items.len() <= item as usize {
            self.items.resize_with(item as usize + 1, NewestRow::default);
        }
        let known = &mut self.items[item as usize];
        if !known.tuples.is_empty() && ts_us < known.ts_us {
            return;
        }
        self.tuple.clear();
        self.tuple.extend((1..=self.columns).map(|column| rows.columns.code(column, event)));
        let bytes = 64 + 4 * self.columns;
        if ts_us > known.ts_us {
            self.bytes -= bytes * known.tuples.len();
            known.tuples.clear();
        }
        known.ts_us = ts_us;
        if !known.tuples.contains(self.tuple.as_slice()) {
            known.tuples.insert(self.tuple.as_slice().into());
            self.bytes += bytes;
        }
    }

    /// The items that were met.
    pub(super) fn items(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.items).filter(|(_, row)| !row.tuples.is_empty()).map(|(item, _)| item)
    }

    /// Memory in use, about, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes + self.items.capacity() * size_of::<NewestRow>()
    }
}

/// What the newest rows of all threads say, while they are put together.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    exprs: &'a FactExprs,
    categories: Option<Interner>,
    /// A thread each.
    parts: Vec<Vec<Fact>>,
}

/// What one of the newest rows of an item says.
#[derive(Debug, Clone, Copy)]
struct Fact {
    /// Code of the item among those of its thread, then among all.
    item: u32,
    ts_us: i64,
    boost: f64,
    /// Code of the category; 0 is none.
    category: u32,
}

/// By code of item, what the newest event says.
#[derive(Debug, Clone, Default)]
pub(super) struct ItemFacts {
    pub(super) boost: Option<Vec<f64>>,
    pub(super) diversify: Option<Diversify>,
}

impl<'a> Gathering<'a> {
    /// Nothing yet.
    pub(super) fn new(exprs: &'a FactExprs) -> Self {
        Self { exprs, categories: None, parts: Vec::new() }
    }

    /// Adds what a thread found.
    ///
    /// # Errors
    /// `InvalidInput` where a boost is no finite number; what the expressions raise.
    pub(super) fn add(&mut self, rows: &NewestRows, decoder: &dyn Decoder) -> Result<()> {
        let of_item = |(item, row): (u32, &NewestRow)| -> Vec<(u32, i64, Box<[u32]>)> {
            row.tuples.iter().map(|tuple| (item, row.ts_us, tuple.clone())).collect()
        };
        let rows: Vec<(u32, i64, Box<[u32]>)> = (0..).zip(&rows.items).flat_map(of_item).collect();
        let tuples: Vec<&[u32]> = rows.iter().map(|row| &*row.2).collect();
        let (boosts, categories) = self.exprs.values(&tuples, decoder)?;
        let mut codes = Vec::new();
        if let Some(categories) = categories {
            let known = match &mut self.categories {
                Some(known) => known,
                None => self.categories.insert(Interner::new(std::slice::from_ref(categories.data_type()))?),
            };
            known.add(&[categories], rows.len(), &mut codes)?;
        }
        let boosts = boosts.as_ref().map(|boosts| boosts.as_primitive::<Float64Type>());
        let mut facts = Vec::with_capacity(rows.len());
        for (at, &(item, ts_us, _)) in rows.iter().enumerate() {
            // NULL says nothing, and changes nothing.
            let boost = boosts.filter(|boosts| boosts.is_valid(at)).map_or(1.0, |boosts| boosts.value(at));
            if !boost.is_finite() {
                return Err(self.no_number(item, boost, decoder));
            }
            facts.push(Fact { item, ts_us, boost, category: codes.get(at).copied().unwrap_or(0) });
        }
        self.parts.push(facts);
        Ok(())
    }

    fn no_number(&self, item: u32, boost: f64, decoder: &dyn Decoder) -> Error {
        let values = decoder.column_values(0, &[item]).ok();
        let value = values.and_then(|values| ScalarValue::try_from_array(&values, 0).ok());
        let item = value.map_or_else(|| "an item".into(), |value| format!("item '{value}'"));
        let span = self.exprs.boost.as_ref().map_or(Span::empty(), |(_, span)| *span);
        Error::invalid(format!("the boost of {item} is {boost}, no finite number"))
            .with_hint("give a number, or NULL for no change: CASE WHEN … THEN … ELSE 1 END")
            .at(span)
    }

    /// The facts by code of item, of which there are `count`. `code_of` gives the code of an item by the place of its thread
    /// and the code there.
    ///
    /// Of several newest events of equal time the highest boost and the first category by value count.
    pub(super) fn finish(self, count: usize, code_of: impl Fn(usize, u32) -> u32) -> ItemFacts {
        let ranks = self.categories.as_ref().map(Interner::ranks).unwrap_or_default();
        // Behind all others stands NULL, the first of all values.
        let place = |category: u32| if category == 0 { u32::MAX } else { ranks[category as usize] };
        let mut newest: Vec<Option<Fact>> = vec![None; count];
        for (part, facts) in self.parts.iter().enumerate() {
            for fact in facts {
                let known = &mut newest[code_of(part, fact.item) as usize];
                *known = Some(match *known {
                    Some(known) if known.ts_us > fact.ts_us => known,
                    Some(known) if known.ts_us == fact.ts_us => Fact {
                        boost: known.boost.max(fact.boost),
                        category: [known.category, fact.category].into_iter().min_by_key(|&c| place(c)).unwrap_or(0),
                        ..known
                    },
                    _ => *fact,
                });
            }
        }
        let boost = |fact: &Option<Fact>| fact.map_or(1.0, |fact| fact.boost);
        // An item of no category is one of its own.
        let category = |(item, fact): (u32, &Option<Fact>)| match fact.map_or(0, |fact| fact.category) {
            0 => ranks.len() as u32 + item,
            category => category,
        };
        ItemFacts {
            boost: self.exprs.boost.is_some().then(|| newest.iter().map(boost).collect()),
            diversify: self
                .exprs
                .category
                .is_some()
                .then(|| Diversify { category: (0..).zip(&newest).map(category).collect(), max: self.exprs.max }),
        }
    }
}
