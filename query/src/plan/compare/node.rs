//! The logical node: two answers of one operator, and how their rows are matched.

use super::rows::Layout;
use super::{Of, Shares};
use crate::error::{Error, Result};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, UserDefinedLogicalNodeCore};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The node. Its inputs have the columns that are compared, and no others.
#[derive(Debug, Clone)]
pub(crate) struct Compare {
    layout: Layout,
    sides: [LogicalPlan; 2],
    schema: DFSchemaRef,
}

impl Compare {
    /// Two answers beside each other, in both of which the columns of `shares` are.
    ///
    /// # Errors
    /// `InvalidInput` if a `by` column has the name of another column of the answer.
    pub(crate) fn new(shares: &Shares, sides: [LogicalPlan; 2]) -> Result<Self> {
        let layout = Layout::of(shares);
        let [side, other] = sides;
        let sides = [compared(shares, side)?, compared(shares, other)?];
        let schema = Arc::new(answer_schema(layout, sides[0].schema())?);
        Ok(Self { layout, sides, schema })
    }

    /// How the columns of the inputs are laid out.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// The Arrow schema of the answer.
    pub(crate) fn arrow_schema(&self) -> Arc<Schema> {
        Arc::clone(self.schema.inner())
    }

    fn names(&self, columns: std::ops::Range<usize>) -> String {
        let fields = &self.sides[0].schema().fields()[columns];
        fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The columns of an answer that are compared: what is left out need not be computed.
fn compared(shares: &Shares, answer: LogicalPlan) -> Result<LogicalPlan> {
    let of = match shares.of {
        Of::Column(column) => Some(column),
        Of::FirstRow | Of::AllRows => None,
    };
    let places = (0..shares.groups).chain(shares.rows.clone()).chain(shares.complete).chain([shares.users]).chain(of);
    let columns = places.map(|place| Expr::from(answer.schema().qualified_field(place))).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(answer))?))
}

/// The keys of the rows, then what is said of both sides.
fn answer_schema(layout: Layout, side: &DFSchema) -> Result<DFSchema> {
    let count = |name: &str| Arc::new(Field::new(name, DataType::Int64, false));
    let number = |name: &str| Arc::new(Field::new(name, DataType::Float64, true));
    let keys = &side.fields()[..layout.keys()];
    let said = [
        count("users"),
        count("of_users"),
        number("share"),
        count("other_users"),
        count("other_of_users"),
        number("other_share"),
        number("difference"),
        number("z"),
        number("p_value"),
    ];
    if let Some(twice) = keys.iter().find(|key| said.iter().any(|field| field.name() == key.name())) {
        let message = format!("a by column is called '{}', like another column of the answer", twice.name());
        return Err(Error::invalid(message).with_hint("give it another name in a subquery: (SELECT …, x AS y FROM …)"));
    }
    let fields: Vec<FieldRef> = keys.iter().cloned().chain(said).collect();
    Ok(DFSchema::from_unqualified_fields(fields.into(), Default::default())?)
}

impl PartialEq for Compare {
    fn eq(&self, other: &Self) -> bool {
        self.layout == other.layout && self.sides == other.sides
    }
}

impl Eq for Compare {}

impl Hash for Compare {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.layout.hash(state);
        self.sides.hash(state);
    }
}

impl PartialOrd for Compare {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for Compare {
    fn name(&self) -> &str {
        "Compare"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.sides.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.layout.groups;
        write!(f, "Compare: groups=[{}]", self.names(0..groups))?;
        write!(f, ", rows=[{}]", self.names(groups..groups + self.layout.rows))
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> datafusion::common::Result<Self> {
        let sides = inputs.try_into();
        let sides = sides.map_err(|_| DataFusionError::Internal("a comparison has two inputs".into()))?;
        Ok(Self { sides, ..self.clone() })
    }

    /// All of both: their columns are those that are compared.
    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(self.sides.iter().map(|side| (0..side.schema().fields().len()).collect()).collect())
    }
}
