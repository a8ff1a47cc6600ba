//! `docs/openapi.json`: the HTTP endpoints as OpenAPI 3.1.

use schemars::generate::SchemaGenerator;
use serde_json::{Map, Value, json};
use shared::endpoints::{Auth, ENDPOINTS, Endpoint, Operation};
use shared::http::{
    CommunitySynced, ConversationList, Done, ErrorBody, Health, Live, OriginalMetrics, Pictures, Ready, SignedIn,
};

use crate::schema;

/// The document.
pub fn openapi() -> Value {
    let mut generator = schema::generator();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let content = answer(endpoint.operation, &mut generator);
        let method = endpoint.method.as_str().to_lowercase();
        paths.entry(endpoint.path).or_insert_with(|| json!({}))[&method] = operation(endpoint, &method, content);
    }
    crate::server_api::add_paths(&mut paths, &mut generator);
    let refused = schema::inline::<ErrorBody>(&mut generator);
    let mut schemas = schema::components(&mut generator);
    schemas.insert("ErrorBody".to_owned(), refused);
    let bearer = |about: &str| json!({"type": "http", "scheme": "bearer", "description": about});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chat over HTTP",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What there is beside the WebSocket. Answers are compressed with gzip when asked for, CORS is \
                by `ALLOWED_ORIGINS`, and a known path with another method is 405. Made by `chatctl docs openapi`.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://localhost:8080", "description": "Any gateway, or whatever is in front of them."}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "user": bearer("The JWT that the WebSocket's `authenticate` takes."),
                "apiKey": bearer("An API key, created with `chatctl apikey create`."),
                "mainBackend": bearer("`COMMUNITY_SYNC_TOKEN`, a secret that the two servers share."),
            },
        },
    })
}

/// The schema of a response with status 200, under its content types.
fn answer(operation: Operation, generator: &mut SchemaGenerator) -> Value {
    let schema = match operation {
        Operation::Health => schema::inline::<Health>(generator),
        Operation::Ready => schema::inline::<Ready>(generator),
        Operation::Live => schema::inline::<Live>(generator),
        Operation::Metrics => schema::inline::<OriginalMetrics>(generator),
        Operation::Conversations => schema::inline::<ConversationList>(generator),
        Operation::ProfilePictures => schema::inline::<Pictures>(generator),
        Operation::CommunityProgression => schema::inline::<CommunitySynced>(generator),
        Operation::Register | Operation::Login => schema::inline::<SignedIn>(generator),
        Operation::Logout => schema::inline::<Done>(generator),
    };
    let mut content = json!({"application/json": {"schema": schema}});
    if operation == Operation::Metrics {
        content["text/plain"] = json!({"schema": {"type": "string"}});
    }
    content
}

fn operation(endpoint: &Endpoint, method: &str, mut content: Value) -> Value {
    content["application/json"]["example"] = serde_json::from_str(endpoint.answered).unwrap_or_default();
    let is_same_when_unavailable = matches!(endpoint.operation, Operation::Health | Operation::Ready);
    let unavailable = is_same_when_unavailable.then(|| content.clone());
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({"description": "Done.", "content": content}));
    if let Some(content) = unavailable {
        responses.insert(
            "503".to_owned(),
            json!({"description": "The same, but the server is not healthy.", "content": content}),
        );
    }
    for (status, about) in endpoint.refusals() {
        let refused = json!({"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}});
        responses.insert(status.to_string(), json!({"description": about, "content": refused}));
    }
    let id: String = format!("{method}{}", endpoint.path).replace(['/', '-'], "_");
    let mut operation = json!({"operationId": id, "summary": endpoint.summary, "responses": responses});
    if !endpoint.query.is_empty() {
        let fields = schema::object(endpoint.query);
        let parameter = |(name, schema): (&String, &Value)| json!({"name": name, "in": "query", "schema": schema});
        let parameters = fields["properties"].as_object().into_iter().flatten().map(parameter);
        operation["parameters"] = parameters.collect();
    }
    if !endpoint.body.is_empty() {
        let mut body = json!({"schema": schema::object(endpoint.body)});
        if let Some(example) = endpoint.example {
            body["example"] = serde_json::from_str(example).unwrap_or_default();
        }
        operation["requestBody"] = json!({"required": true, "content": {"application/json": body}});
    }
    operation["security"] = match endpoint.auth {
        Auth::Anybody => json!([]),
        Auth::User => json!([{"user": []}]),
        Auth::MainBackend => json!([{"mainBackend": []}]),
    };
    operation
}
