//! The arguments of an operator call, sorted by name, before anything is planned.

use crate::error::{Error, Result, closest};
use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident,
    ObjectName, Spanned, TableFactor, TableFunctionArgs, Value, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// Whose events an operator reads: an argument of each but SEGMENT, which says that of itself.
pub(crate) const AMONG: &str = "among";
/// Whose events an operator reads a second time, for comparison: an argument of [`COMPARED`].
pub(crate) const COMPARE: &str = "compare";
/// The operators that have an answer whose rows are shares of a number of users.
const COMPARED: [&str; 4] = ["FUNNEL", "RETENTION", "STICKINESS", "RFM"];
/// The operator that finds users.
pub(crate) const SEGMENT: &str = "SEGMENT";

/// `name => value`.
#[derive(Debug, Clone)]
pub(crate) struct NamedArgument {
    /// In lower case.
    pub(crate) name: String,
    pub(crate) value: Expr,
    pub(crate) span: Span,
}

/// A call `NAME(input, PART(…), name => value, …)`.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The relation that the operator reads.
    pub(crate) input: TableFactor,
    /// Arguments without a name that are calls themselves, such as `STEPS(…)`.
    pub(crate) parts: Vec<Function>,
    pub(crate) named: Vec<NamedArgument>,
    pub(crate) span: Span,
}

/// The words of an operator for messages.
pub(crate) struct Signature {
    pub(crate) operator: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) parts: &'static [&'static str],
    pub(crate) example: &'static str,
}

impl Signature {
    /// Those of the operator, and those that many of them take.
    fn arguments(&self) -> impl Iterator<Item = &'static str> {
        let among = (self.operator != SEGMENT).then_some(AMONG);
        let compare = COMPARED.contains(&self.operator).then_some(COMPARE);
        self.arguments.iter().copied().chain(among).chain(compare)
    }

    fn listed(&self) -> String {
        self.arguments().collect::<Vec<_>>().join(", ")
    }
}

impl Call {
    /// Sort the arguments of a call.
    ///
    /// # Errors
    /// `InvalidInput` at the argument that is unknown, stands twice, or has no name where it needs one.
    pub(crate) fn read(name: &ObjectName, args: Vec<FunctionArg>, signature: &Signature) -> Result<Self> {
        let span = name.span();
        let operator = signature.operator;
        let mut args = args.into_iter();
        let input = match args.next() {
            Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))) => input_relation(expr, signature)?,
            Some(other) => {
                return Err(Error::invalid(format!("the first argument of {operator} is the table that it reads"))
                    .with_hint(signature.example)
                    .at(other.span()));
            }
            None => {
                return Err(Error::invalid(format!("{operator} needs a table to read"))
                    .with_hint(signature.example)
                    .at(span));
            }
        };
        Self::over(input, span, args, signature)
    }

    /// Sort the arguments of a call over `input`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn over(
        input: TableFactor,
        span: Span,
        args: impl IntoIterator<Item = FunctionArg>,
        signature: &Signature,
    ) -> Result<Self> {
        let mut call = Self { input, parts: Vec::new(), named: Vec::new(), span };
        for arg in args {
            call.add(arg, signature)?;
        }
        Ok(call)
    }

    fn add(&mut self, arg: FunctionArg, signature: &Signature) -> Result<()> {
        let operator = signature.operator;
        match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                let key = name.value.to_lowercase();
                if !signature.arguments().any(|known| known == key) {
                    return Err(unknown_argument(&key, signature, name.span));
                }
                if self.named.iter().any(|other| other.name == key) {
                    return Err(Error::invalid(format!("argument '{key}' of {operator} is given twice"))
                        .with_hint("leave one of them away")
                        .at(name.span));
                }
                self.named.push(NamedArgument { name: key, value, span: name.span });
                Ok(())
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(part)))
                if signature.parts.contains(&part.name.to_string().to_uppercase().as_str()) =>
            {
                refuse_modifiers(&part)?;
                self.parts.push(part);
                Ok(())
            }
            other => {
                let message = format!("{operator} takes its arguments by name, as in name => value");
                let hint = format!("the arguments are {}", signature.listed());
                Err(Error::invalid(message).with_hint(hint).at(other.span()))
            }
        }
    }

    /// The argument called `name`.
    pub(crate) fn find(&self, name: &str) -> Option<&NamedArgument> {
        self.named.iter().find(|argument| argument.name == name)
    }

    /// Take the argument called `name` out of the call.
    pub(crate) fn take(&mut self, name: &str) -> Option<NamedArgument> {
        let at = self.named.iter().position(|argument| argument.name == name)?;
        Some(self.named.remove(at))
    }
}

fn unknown_argument(key: &str, signature: &Signature, span: Span) -> Error {
    if key == COMPARE {
        return takes_no_compare(signature.operator).at(span);
    }
    let near = closest(key, signature.arguments());
    let near = near.map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
    let hint = format!("{near}the arguments are {}", signature.listed());
    Error::invalid(format!("{} has no argument '{key}'", signature.operator)).with_hint(hint).at(span)
}

fn takes_no_compare(operator: &str) -> Error {
    let hint = match operator {
        SEGMENT => {
            "SEGMENT compares with emit => 'lift': how frequent segments are among the users of where, and among all others"
        }
        _ => {
            "it compares shares of users, which are answers of FUNNEL, RETENTION, STICKINESS and RFM; ask twice, with among"
        }
    };
    Error::invalid(format!("{operator} takes no compare")).with_hint(hint)
}

/// The relation that the first argument names.
fn input_relation(expr: Expr, signature: &Signature) -> Result<TableFactor> {
    let span = expr.span();
    match expr {
        Expr::Identifier(ident) => Ok(table(ObjectName::from(vec![ident]), None)),
        Expr::CompoundIdentifier(idents) => Ok(table(ObjectName::from(idents), None)),
        Expr::Nested(inner) => input_relation(*inner, signature),
        Expr::Subquery(subquery) => Ok(TableFactor::Derived { lateral: false, subquery, alias: None, sample: None }),
        Expr::Function(function) if matches!(function.args, FunctionArguments::List(_)) => {
            refuse_modifiers(&function)?;
            let args = match function.args {
                FunctionArguments::List(list) => list.args,
                FunctionArguments::None | FunctionArguments::Subquery(_) => Vec::new(),
            };
            Ok(table(function.name, Some(TableFunctionArgs { args, settings: None })))
        }
        _ => Err(Error::invalid(format!("the first argument of {} is a table, not a value", signature.operator))
            .with_hint(signature.example)
            .at(span)),
    }
}

fn table(name: ObjectName, args: Option<TableFunctionArgs>) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// Refuse what SQL lets stand in and behind the call of a function, and what has no meaning here.
fn refuse_modifiers(function: &Function) -> Result<()> {
    let name = function.name.span();
    let or_name = |span: Span| if span == Span::empty() { name } else { span };
    let mut found: Vec<(&str, Span)> = Vec::new();
    if let FunctionArguments::List(list) = &function.args {
        if let Some(treatment) = list.duplicate_treatment {
            let word = if treatment == DuplicateTreatment::Distinct { "DISTINCT" } else { "ALL" };
            found.push((word, list.args.first().map_or(name, |arg| or_name(arg.span()))));
        }
        found.extend(list.clauses.first().map(|clause| match clause {
            FunctionArgumentClause::OrderBy(_) => ("ORDER BY", or_name(clause.span())),
            FunctionArgumentClause::Limit(_) => ("LIMIT", or_name(clause.span())),
            _ => ("a clause after the arguments", or_name(clause.span())),
        }));
    }
    found.extend(function.filter.as_ref().map(|filter| ("FILTER", or_name(filter.span()))));
    found.extend(function.over.as_ref().map(|over| match over {
        WindowType::NamedWindow(window) => ("OVER", window.span),
        WindowType::WindowSpec(window) => {
            let parts = window.partition_by.iter().map(Spanned::span);
            let parts = parts.chain(window.order_by.iter().map(Spanned::span));
            ("OVER", parts.reduce(|a, b| a.union(&b)).map_or(name, or_name))
        }
    }));
    found.extend(function.within_group.first().map(|key| ("WITHIN GROUP", or_name(key.span()))));
    found.extend(function.null_treatment.map(|_| ("IGNORE or RESPECT NULLS", name)));
    if !matches!(function.parameters, FunctionArguments::None) {
        found.push(("a second list of arguments", or_name(function.parameters.span())));
    }
    match found.first() {
        None => Ok(()),
        Some((what, span)) => Err(Error::unsupported(format!("{what} has no meaning in {}", function.name))
            .with_hint("leave it away; a subquery can order, filter or count the input before")
            .at(*span)),
    }
}

/// The arguments of a part such as `STEPS(…)`: a name, where there is one, and a value.
pub(crate) fn part_arguments(part: Function) -> Result<Vec<(Option<Ident>, Expr)>> {
    refuse_modifiers(&part)?;
    let span = part.name.span();
    let FunctionArguments::List(list) = part.args else {
        return Err(Error::invalid(format!("{} needs arguments in parentheses", part.name)).at(span));
    };
    let mut arguments = Vec::with_capacity(list.args.len());
    for arg in list.args {
        let span = arg.span();
        match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => arguments.push((Some(name), value)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => arguments.push((None, value)),
            _ => return Err(Error::invalid(format!("'*' has no meaning in {}", part.name)).at(span)),
        }
    }
    Ok(arguments)
}

/// `[a, b]`, `(a, b)` or a single `a`.
pub(crate) fn list_items(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::Array(array) => array.elem,
        Expr::Tuple(items) => items,
        Expr::Nested(inner) => list_items(*inner),
        other => vec![other],
    }
}

/// The text of a string literal.
pub(crate) fn string_literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => string_literal(inner),
        _ => None,
    }
}

/// Whether the expression is a parameter such as `$1`.
pub(crate) fn is_placeholder(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
}
