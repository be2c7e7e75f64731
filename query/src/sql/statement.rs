//! One statement, parsed: trodden's own kinds by hand, all others by DataFusion's parser.

use crate::error::{Error, ErrorKind, Result, closest};
use crate::sql::chains;
use crate::sql::placeholders;
use crate::sql::rules::{self, RuleCommand};
use crate::sql::script::{DIALECT, RawStatement};
use crate::sql::short_form;
use crate::sql::tags::{self, TagCommand};
use datafusion::sql::parser::{CopyToSource, CopyToStatement, DFParserBuilder, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{self, Expr, Ident, ObjectName, Query, Statement as Ast, Value};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{IsOptional, Parser};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

/// A named option: `shards = 8`, `FORMAT csv`.
#[derive(Debug, Clone)]
pub(crate) struct NamedOption {
    pub(crate) name: String,
    pub(crate) value: Expr,
    pub(crate) span: Span,
}

/// What a statement asks for. Commands are few and short-lived: their size does not matter.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// Planned and run by DataFusion: queries, `INSERT`, `COPY … TO`, `EXPLAIN`.
    Relational(Box<DfStatement>),
    CreateTable {
        name: ObjectName,
        if_not_exists: bool,
        columns: Vec<(Ident, ast::DataType)>,
        options: Vec<NamedOption>,
        query: Option<Box<Query>>,
    },
    DropTable {
        names: Vec<ObjectName>,
        if_exists: bool,
    },
    DropView {
        names: Vec<ObjectName>,
        if_exists: bool,
    },
    Upsert {
        table: ObjectName,
        columns: Vec<Ident>,
        query: Box<Query>,
    },
    AddColumn {
        table: ObjectName,
        column: Ident,
        data_type: ast::DataType,
        if_not_exists: bool,
    },
    SetOptions {
        table: ObjectName,
        options: Vec<NamedOption>,
    },
    Delete {
        table: ObjectName,
        condition: Option<Expr>,
    },
    CopyFrom {
        table: ObjectName,
        files: Vec<String>,
        options: Vec<NamedOption>,
    },
    CreateView {
        name: ObjectName,
        or_replace: bool,
        if_not_exists: bool,
        columns: Vec<Ident>,
        query: Box<Query>,
    },
    Tag(TagCommand),
    Rule(RuleCommand),
    ShowTables,
    ShowRecommenders,
    Alias {
        source: Expr,
        target: Expr,
        table: ObjectName,
    },
    Unalias {
        source: Expr,
        table: ObjectName,
    },
    ShowAliases(Option<ObjectName>),
    Describe(ObjectName),
    Optimize(ObjectName),
    Flush(ObjectName),
    Prepare {
        name: Ident,
        statement: Box<Ast>,
    },
    Execute {
        name: ObjectName,
        parameters: Vec<Expr>,
    },
    Deallocate(Ident),
}

/// Parse a statement. Its tokens are taken.
///
/// # Errors
/// `Syntax` with the place; `ResourceLimit` for a statement that is too deep.
pub(crate) fn parse(raw: &mut RawStatement) -> Result<Command> {
    chains::check(&raw.tokens)?;
    let tokens = placeholders::numbered(std::mem::take(&mut raw.tokens))?;
    let parameters = placeholders::last(&tokens);
    let command = parse_tokens(short_form::expand(tokens)?)?;
    // Those of a statement that is prepared get their values when it is executed.
    raw.parameters = if matches!(command, Command::Prepare { .. }) { 0 } else { parameters };
    Ok(command)
}

fn parse_tokens(tokens: Vec<TokenWithSpan>) -> Result<Command> {
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens.clone());
    if let Some(command) = parse_own(&mut parser)? {
        let rest = parser.peek_token();
        if rest.token != Token::EOF {
            return Err(unexpected("the end of the statement", &parser));
        }
        return Ok(command);
    }
    let mut parser = DFParserBuilder::new(tokens).with_dialect(&DIALECT).build()?;
    let mut statements = parser.parse_statements()?;
    match statements.pop_front() {
        Some(statement) if statements.is_empty() => Ok(classify(statement)),
        _ => Err(Error::new(ErrorKind::Syntax, "one statement was expected")),
    }
}

fn classify(statement: DfStatement) -> Command {
    let DfStatement::Statement(ast) = statement else {
        return Command::Relational(Box::new(statement));
    };
    match *ast {
        Ast::CreateView(view) => Command::CreateView {
            name: view.name,
            or_replace: view.or_replace,
            if_not_exists: view.if_not_exists,
            columns: view.columns.into_iter().map(|column| column.name).collect(),
            query: view.query,
        },
        Ast::Prepare { name, statement, .. } => Command::Prepare { name, statement },
        Ast::Execute { name: Some(name), parameters, .. } => Command::Execute { name, parameters },
        Ast::Deallocate { name, .. } => Command::Deallocate(name),
        other => Command::Relational(Box::new(DfStatement::Statement(Box::new(other)))),
    }
}

fn unexpected(expected: &str, parser: &Parser<'_>) -> Error {
    let found = parser.peek_token();
    let shown = if found.token == Token::EOF { "the end".to_string() } else { format!("'{}'", found.token) };
    Error::new(ErrorKind::Syntax, format!("expected {expected}, found {shown}")).at(found.span)
}

/// A statement of trodden's own, or `None` for one that DataFusion's parser reads, from the start.
fn parse_own(parser: &mut Parser<'_>) -> Result<Option<Command>> {
    let [first, second, third] = next_words(parser);
    let command = match (first.as_str(), second.as_str()) {
        ("CREATE", "TABLE") => {
            skip(parser, 2);
            create_table(parser)?
        }
        ("DROP", "TABLE" | "VIEW") => {
            skip(parser, 2);
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            let names = parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
            match second.as_str() {
                "TABLE" => Command::DropTable { names, if_exists },
                _ => Command::DropView { names, if_exists },
            }
        }
        ("ALTER", "TABLE") => {
            skip(parser, 2);
            alter_table(parser)?
        }
        ("DELETE", "FROM") => {
            skip(parser, 2);
            delete(parser)?
        }
        ("UPSERT", "INTO") => {
            skip(parser, 2);
            upsert(parser)?
        }
        ("COPY", _) => return copy(parser),
        ("SHOW", "TABLES") => {
            skip(parser, 2);
            Command::ShowTables
        }
        ("SHOW", "RECOMMENDERS") => {
            skip(parser, 2);
            Command::ShowRecommenders
        }
        ("SHOW", "ALIASES") => {
            skip(parser, 2);
            let on = parser.parse_keyword(Keyword::ON);
            Command::ShowAliases(if on { Some(parser.parse_object_name(false)?) } else { None })
        }
        ("ALIAS" | "UNALIAS", _) => {
            skip(parser, 1);
            alias(parser, first == "ALIAS")?
        }
        ("DESCRIBE" | "DESC", _) if !matches!(second.as_str(), "SELECT" | "WITH" | "FUNNEL") => {
            skip(parser, 1 + usize::from(second == "TABLE"));
            Command::Describe(parser.parse_object_name(false)?)
        }
        ("OPTIMIZE", _) => {
            skip(parser, 1 + usize::from(second == "TABLE"));
            Command::Optimize(parser.parse_object_name(false)?)
        }
        ("FLUSH", _) if !third.starts_with('=') => {
            skip(parser, 1 + usize::from(second == "TABLE"));
            Command::Flush(parser.parse_object_name(false)?)
        }
        _ => {
            return match tags::parse(parser)? {
                Some(command) => Ok(Some(Command::Tag(command))),
                None => Ok(rules::parse(parser)?.map(Command::Rule)),
            };
        }
    };
    Ok(Some(command))
}

/// The next words in capitals, empty where there is another token.
pub(super) fn next_words<const N: usize>(parser: &Parser<'_>) -> [String; N] {
    parser.peek_tokens::<N>().map(|token| match token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    })
}

pub(super) fn skip(parser: &mut Parser<'_>, count: usize) {
    (0..count).for_each(|_| drop(parser.next_token()));
}

fn create_table(parser: &mut Parser<'_>) -> Result<Command> {
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parser.parse_object_name(false)?;
    let mut columns = Vec::new();
    if parser.consume_token(&Token::LParen) && !parser.consume_token(&Token::RParen) {
        loop {
            columns.push(column_definition(parser)?);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    }
    let options = if parser.parse_keyword(Keyword::WITH) { options(parser, true)? } else { Vec::new() };
    let query = if parser.parse_keyword(Keyword::AS) { Some(parser.parse_query()?) } else { None };
    Ok(Command::CreateTable { name, if_not_exists, columns, options, query })
}

fn column_definition(parser: &mut Parser<'_>) -> Result<(Ident, ast::DataType)> {
    let name = parser.parse_identifier()?;
    if matches!(parser.peek_token().token, Token::Comma | Token::RParen) {
        return Err(unexpected(&format!("the type of column '{}'", name.value), parser)
            .with_hint("the types are BOOLEAN, BIGINT, DOUBLE, TEXT and TIMESTAMP"));
    }
    let data_type = parser.parse_data_type()?;
    // user_id, ts and event are never NULL, everything else may be: a constraint would promise what is not kept.
    if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) && !["user_id", "ts", "event"].contains(&&*name.value) {
        return Err(Error::unsupported("only user_id, ts and event are NOT NULL")
            .with_hint(format!("leave NOT NULL away from '{}'", name.value))
            .at(name.span));
    }
    match parser.peek_token().token {
        Token::Comma | Token::RParen => Ok((name, data_type)),
        _ => Err(unexpected("',' or ')' after a column", parser)),
    }
}

fn alter_table(parser: &mut Parser<'_>) -> Result<Command> {
    let table = parser.parse_object_name(false)?;
    if parser.parse_keyword(Keyword::SET) {
        return Ok(Command::SetOptions { table, options: options(parser, true)? });
    }
    if parser.parse_keyword(Keyword::ADD) {
        let _ = parser.parse_keyword(Keyword::COLUMN);
        let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let column = parser.parse_identifier()?;
        let data_type = parser.parse_data_type()?;
        return Ok(Command::AddColumn { table, column, data_type, if_not_exists });
    }
    Err(unexpected("ADD COLUMN or SET (…)", parser).with_hint("a column, once there, is neither dropped nor renamed"))
}

/// `'source' TO 'target' ON table`, or `'source' ON table`.
fn alias(parser: &mut Parser<'_>, is_made: bool) -> Result<Command> {
    let source = parser.parse_expr()?;
    let target = match is_made {
        true if !parser.parse_keyword(Keyword::TO) => {
            return Err(unexpected("TO and the id of the person", parser)
                .with_hint("for example ALIAS 'anon-1' TO 'u42' ON events"));
        }
        true => Some(parser.parse_expr()?),
        false => None,
    };
    if !parser.parse_keyword(Keyword::ON) {
        return Err(unexpected("ON and the name of a table", parser));
    }
    let table = parser.parse_object_name(false)?;
    Ok(match target {
        Some(target) => Command::Alias { source, target, table },
        None => Command::Unalias { source, table },
    })
}

fn delete(parser: &mut Parser<'_>) -> Result<Command> {
    let table = parser.parse_object_name(false)?;
    let condition = if parser.parse_keyword(Keyword::WHERE) { Some(parser.parse_expr()?) } else { None };
    Ok(Command::Delete { table, condition })
}

/// `UPSERT INTO t (column, …) query`; the query may stand in parentheses.
fn upsert(parser: &mut Parser<'_>) -> Result<Command> {
    let table = parser.parse_object_name(false)?;
    let [open, first] = parser.peek_tokens::<2>();
    let is_query = |token: &Token| {
        matches!(token, Token::LParen)
            || matches!(token, Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES))
    };
    let columns = match open {
        Token::LParen if !is_query(&first) => parser.parse_parenthesized_column_list(IsOptional::Mandatory, false)?,
        _ => Vec::new(),
    };
    Ok(Command::Upsert { table, columns, query: parser.parse_query()? })
}

/// `COPY t FROM 'file' (…)`, or `COPY source TO 'file' (…)`; the longer `TO … STORED AS` is left to DataFusion.
fn copy(parser: &mut Parser<'_>) -> Result<Option<Command>> {
    parser.next_token();
    let source = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        CopyToSource::Query(query)
    } else {
        CopyToSource::Relation(parser.parse_object_name(true)?)
    };
    if parser.parse_keyword(Keyword::FROM) {
        let CopyToSource::Relation(table) = source else {
            return Err(Error::new(ErrorKind::Syntax, "COPY … FROM needs a table to load into, not a query"));
        };
        let files = files(parser)?;
        let _ = parser.parse_keyword(Keyword::WITH);
        let options = match parser.peek_token().token {
            Token::LParen => options(parser, false)?,
            _ => Vec::new(),
        };
        return Ok(Some(Command::CopyFrom { table, files, options }));
    }
    if !parser.parse_keyword(Keyword::TO) {
        return Err(unexpected("FROM or TO", parser));
    }
    let target = parser.parse_literal_string()?;
    let _ = parser.parse_keyword(Keyword::WITH);
    let given = match parser.peek_token().token {
        Token::LParen => options(parser, false)?,
        Token::EOF => Vec::new(),
        _ => return Ok(None),
    };
    copy_to(source, target, given).map(Some)
}

fn copy_to(source: CopyToSource, target: String, given: Vec<NamedOption>) -> Result<Command> {
    let (mut stored_as, mut compression) = (None, None);
    let mut options = Vec::new();
    for option in given {
        let text = option_text(&option)?;
        match option.name.as_str() {
            "format" => stored_as = Some(text.to_uppercase()),
            // DataFusion calls it otherwise.
            "header" => options.push(("format.has_header".into(), Value::SingleQuotedString(text))),
            "null" => options.push(("format.null_value".into(), Value::SingleQuotedString(text))),
            "compression" => compression = Some(text),
            "delimiter" | "null_value" => {
                options.push((format!("format.{}", option.name), Value::SingleQuotedString(text)));
            }
            other => {
                let known = ["format", "header", "delimiter", "compression", "null"];
                return Err(unknown_option(other, &known, option.span));
            }
        }
    }
    let known = ["PARQUET", "CSV", "JSON", "ARROW"];
    if let Some(format) = stored_as.as_deref().filter(|format| !known.contains(format)) {
        return Err(Error::unsupported(format!("files of format '{}' are not written", format.to_lowercase()))
            .with_hint("the formats are parquet, csv and json"));
    }
    if let Some(text) = compression {
        let by_name = target.rsplit_once('.').map(|(_, extension)| extension.to_uppercase());
        let plain = matches!(text.to_lowercase().as_str(), "none" | "uncompressed");
        match stored_as.as_ref().or(by_name.as_ref()).map(String::as_str) {
            Some("CSV" | "JSON") if plain => {}
            Some(format @ ("CSV" | "JSON")) => {
                let message = format!("files of format '{}' are not written compressed", format.to_lowercase());
                return Err(Error::unsupported(message)
                    .with_hint("write parquet, which is compressed inside, or pack the file afterwards"));
            }
            _ => options.push(("format.compression".into(), Value::SingleQuotedString(text))),
        }
    }
    let statement = CopyToStatement { source, target, partitioned_by: Vec::new(), stored_as, options };
    Ok(Command::Relational(Box::new(DfStatement::CopyTo(statement))))
}

/// `'file'`, or `('file', 'file', …)`.
fn files(parser: &mut Parser<'_>) -> Result<Vec<String>> {
    if parser.consume_token(&Token::LParen) {
        let files = parser.parse_comma_separated(|parser| parser.parse_literal_string())?;
        parser.expect_token(&Token::RParen)?;
        return Ok(files);
    }
    Ok(vec![parser.parse_literal_string()?])
}

/// `(name = value, …)`, or `(NAME value, …)` where `=` may be left out.
fn options(parser: &mut Parser<'_>, needs_equals: bool) -> Result<Vec<NamedOption>> {
    parser.expect_token(&Token::LParen)?;
    let mut options: Vec<NamedOption> = Vec::new();
    while !parser.consume_token(&Token::RParen) {
        let name = parser.parse_identifier()?;
        let key = name.value.to_lowercase();
        if needs_equals {
            parser.expect_token(&Token::Eq)?;
        } else if !parser.consume_token(&Token::Eq) {
            let _ = parser.consume_token(&Token::RArrow);
        }
        let value = match parser.peek_token().token {
            // A word without quotes stands for its own text, as in FORMAT csv.
            Token::Word(word) if word.quote_style.is_none() && word.keyword != Keyword::INTERVAL => {
                parser.next_token();
                Expr::Identifier(Ident::new(word.value))
            }
            _ => parser.parse_expr()?,
        };
        if options.iter().any(|option| option.name == key) {
            return Err(Error::invalid(format!("option '{key}' is given twice")).at(name.span));
        }
        options.push(NamedOption { name: key, value, span: name.span });
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(&Token::RParen)?;
            break;
        }
    }
    Ok(options)
}

/// The error for an option that is not in `valid`.
pub(crate) fn unknown_option(name: &str, valid: &[&str], span: Span) -> Error {
    let near = closest(name, valid.iter().copied()).map(|near| format!("did you mean '{near}'? "));
    let hint = format!("{}the options are {}", near.unwrap_or_default(), valid.join(", "));
    Error::invalid(format!("no option is called '{name}'")).with_hint(hint).at(span)
}

/// The value of an option as text.
///
/// # Errors
/// `InvalidInput` for an expression.
pub(crate) fn option_text(option: &NamedOption) -> Result<String> {
    match &option.value {
        Expr::Identifier(ident) => Ok(ident.value.clone()),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) | Value::Number(text, _) => {
                Ok(text.clone())
            }
            Value::EscapedStringLiteral(text) => Ok(text.clone()),
            Value::Boolean(truth) => Ok(truth.to_string()),
            _ => Err(no_literal(option)),
        },
        Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => Ok(format!("-{expr}")),
        Expr::Interval(interval) => {
            let value = match &*interval.value {
                Expr::Value(value) => value.value.clone().into_string().unwrap_or_default(),
                other => other.to_string(),
            };
            let unit = interval.leading_field.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
            Ok(format!("{value}{unit}"))
        }
        _ => Err(no_literal(option)),
    }
}

fn no_literal(option: &NamedOption) -> Error {
    Error::invalid(format!("option '{}' needs a plain value, not '{}'", option.name, option.value)).at(option.span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::script::split;

    fn command(sql: &str) -> Result<Command> {
        parse(&mut split(sql)?.remove(0))
    }

    #[test]
    fn ddl_is_read() {
        let sql = "CREATE TABLE IF NOT EXISTS e (price DOUBLE, \"Name\" TEXT) WITH (shards = 2, strict = true)";
        let Command::CreateTable { name, if_not_exists, columns, options, query } = command(sql).unwrap() else {
            panic!("no CREATE TABLE")
        };
        assert_eq!((name.to_string().as_str(), if_not_exists, columns.len()), ("e", true, 2));
        assert_eq!(options.iter().map(|o| option_text(o).unwrap()).collect::<Vec<_>>(), ["2", "true"]);
        assert!(query.is_none());
        assert!(matches!(command("ALTER TABLE e ADD COLUMN IF NOT EXISTS c BIGINT"), Ok(Command::AddColumn { .. })));
        assert!(matches!(command("ALTER TABLE e SET (retention = '90 days')"), Ok(Command::SetOptions { .. })));
        assert!(matches!(command("DROP TABLE IF EXISTS e"), Ok(Command::DropTable { if_exists: true, .. })));
        assert!(matches!(command("FLUSH e"), Ok(Command::Flush(_))));
        assert!(matches!(command("OPTIMIZE TABLE e"), Ok(Command::Optimize(_))));
        assert!(matches!(command("DESCRIBE e"), Ok(Command::Describe(_))));
        assert!(matches!(command("ALIAS 'a' TO 'b' ON e"), Ok(Command::Alias { .. })));
        assert!(matches!(command("UNALIAS 'a' ON e"), Ok(Command::Unalias { .. })));
        assert!(matches!(command("SHOW ALIASES"), Ok(Command::ShowAliases(None))));
        assert!(matches!(command("SHOW ALIASES ON e"), Ok(Command::ShowAliases(Some(_)))));
    }

    #[test]
    fn copy_goes_both_ways() {
        let sql = "COPY e FROM ('a.csv', 'b.csv') (FORMAT csv, USER 'case', MAX_REJECTS 5)";
        let Command::CopyFrom { files, options, .. } = command(sql).unwrap() else { panic!("no COPY FROM") };
        assert_eq!((files.len(), options.len()), (2, 3));
        assert_eq!(option_text(&options[1]).unwrap(), "case");
        for sql in ["COPY (SELECT 1) TO 'x' (FORMAT csv)", "COPY e TO 'x.parquet'", "COPY e TO 'x' STORED AS CSV"] {
            assert!(matches!(command(sql), Ok(Command::Relational(_))), "{sql}");
        }
        assert!(command("COPY e TO 'x' (FORMAT xml)").unwrap_err().message().contains("xml"));
    }

    #[test]
    fn leftovers_are_an_error_at_their_place() {
        let error = command("DROP TABLE e SELECT").unwrap_err();
        assert_eq!(error.span().map(|span| span.column), Some(14));
        assert!(command("SELEC 1").unwrap_err().span().is_some());
        let error = command("ALIAS 'a' 'b' ON e").unwrap_err();
        assert_eq!(error.span().map(|span| span.column), Some(11));
    }
}
