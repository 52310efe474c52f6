//! The documentation page, made of the OpenAPI document that the handlers' own types make.
//!
//! Server-rendered: no script, and nothing from another host.

use askama::Template;
use serde_json::Value;

/// The page.
#[derive(Template)]
#[template(path = "docs.html")]
pub struct DocsPage {
    title: String,
    version: String,
    description: Vec<Prose>,
    groups: Vec<Group>,
    schemas: Vec<Schema>,
}

struct Group {
    name: String,
    operations: Vec<Operation>,
}

struct Operation {
    anchor: String,
    method: String,
    path: String,
    summary: String,
    description: Vec<Prose>,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    responses: Vec<Answer>,
}

struct Parameter {
    name: String,
    place: String,
    required: bool,
    kind: String,
    what: Prose,
}

struct Body {
    name: String,
    anchor: Option<String>,
}

struct Answer {
    status: String,
    body: Option<Body>,
    what: Prose,
}

struct Schema {
    anchor: String,
    name: String,
    description: Vec<Prose>,
    values: Vec<String>,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    required: bool,
    kind: String,
    anchor: Option<String>,
    what: Prose,
}

/// Text of the document, with what stands between backticks there shown as code; the template escapes each piece.
#[derive(Template)]
#[template(
    source = "{% for (is_code, piece) in pieces %}{% if *is_code %}<code>{{ piece }}</code>{% else %}{{ piece }}{% endif %}{% endfor %}",
    ext = "html"
)]
struct Prose {
    pieces: Vec<(bool, String)>,
}

impl Prose {
    fn of(text: &str) -> Self {
        let pieces = text.split('`').enumerate().map(|(at, piece)| (at % 2 == 1, piece.to_owned()));
        Self { pieces: pieces.collect() }
    }
}

/// Reads the document.
pub fn page(api: &Value) -> DocsPage {
    DocsPage {
        title: text(&api["info"]["title"]),
        version: text(&api["info"]["version"]),
        description: paragraphs(&api["info"]["description"]),
        groups: groups(api),
        schemas: object(&api["components"]["schemas"]).map(|(name, schema)| self::schema(name, schema)).collect(),
    }
}

fn groups(api: &Value) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (path, item) in object(&api["paths"]) {
        for (method, operation) in object(item).filter(|(_, operation)| operation.get("responses").is_some()) {
            let tag = operation["tags"][0].as_str().unwrap_or("Other").to_owned();
            let at = groups.iter().position(|group| group.name == tag).unwrap_or_else(|| {
                groups.push(Group { name: tag, operations: Vec::new() });
                groups.len() - 1
            });
            groups[at].operations.push(self::operation(path, method, operation));
        }
    }
    let order = |group: &Group| {
        let tags = api["tags"].as_array();
        tags.and_then(|tags| tags.iter().position(|tag| tag["name"] == group.name.as_str())).unwrap_or(usize::MAX)
    };
    groups.sort_by_key(order);
    groups
}

fn operation(path: &str, method: &str, operation: &Value) -> Operation {
    let parameter = |parameter: &Value| Parameter {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        required: parameter["required"] == true,
        kind: kind(&parameter["schema"]).name,
        what: Prose::of(&text(&parameter["description"])),
    };
    let answer = |(status, response): (&str, &Value)| Answer {
        status: status.to_owned(),
        body: content(&response["content"]),
        what: Prose::of(&text(&response["description"])),
    };
    let anchor: String =
        format!("{method}{path}").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Operation {
        anchor,
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: paragraphs(&operation["description"]),
        parameters: array(&operation["parameters"]).map(parameter).collect(),
        body: content(&operation["requestBody"]["content"]),
        responses: object(&operation["responses"]).map(answer).collect(),
    }
}

fn content(content: &Value) -> Option<Body> {
    object(content).next().map(|(_, media)| kind(&media["schema"]))
}

fn schema(name: &str, schema: &Value) -> Schema {
    let required: Vec<&str> = array(&schema["required"]).filter_map(Value::as_str).collect();
    // A type that another is flattened into says so by `allOf`.
    let parts = array(&schema["allOf"]).chain(std::iter::once(schema));
    let fields = parts.flat_map(|part| object(&part["properties"])).map(|(name, field)| {
        let body = kind(field);
        let is_required = required.contains(&name);
        Field {
            name: name.to_owned(),
            required: is_required,
            kind: body.name,
            anchor: body.anchor,
            what: Prose::of(&text(&field["description"])),
        }
    });
    let values = array(&schema["enum"]).chain(array(&schema["oneOf"]).flat_map(|one| array(&one["enum"])));
    Schema {
        anchor: anchor_of(name),
        name: name.to_owned(),
        description: paragraphs(&schema["description"]),
        fields: fields.collect(),
        values: values.filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// The name of a type, and where it is described.
fn kind(schema: &Value) -> Body {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return Body { name: name.to_owned(), anchor: Some(anchor_of(name)) };
    }
    let any = array(&schema["oneOf"]).chain(array(&schema["anyOf"])).chain(array(&schema["allOf"]));
    if let Some(inner) = any.map(kind).find(|inner| inner.name != "null") {
        return inner;
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
        _ => vec!["any"],
    };
    if names == ["array"] {
        let item = kind(&schema["items"]);
        return Body { name: format!("list of {}", item.name), anchor: item.anchor };
    }
    let name = match schema["format"].as_str() {
        Some("date-time") => "time".to_owned(),
        _ => names.join(" or "),
    };
    Body { name, anchor: None }
}

fn anchor_of(name: &str) -> String {
    format!("type-{}", name.to_lowercase())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn paragraphs(value: &Value) -> Vec<Prose> {
    text(value).split("\n\n").filter(|paragraph| !paragraph.is_empty()).map(Prose::of).collect()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn object(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}
