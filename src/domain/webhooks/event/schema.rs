//! Self-contained schemas of types, without references to other schemas.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayItems, Object, Schema, SchemaType, Type};

type SchemasByName = BTreeMap<String, RefOr<Schema>>;

/// Returns the schema of a struct.
pub fn schema_of<T: ToSchema>() -> Object {
    let mut schemas = Vec::new();
    T::schemas(&mut schemas);
    match resolve_references(T::schema(), &schemas.into_iter().collect()) {
        Schema::Object(object) => object,
        _ => Object::new(),
    }
}

/// Replaces references by what they refer to.
fn resolve_references(schema: RefOr<Schema>, schemas: &SchemasByName) -> Schema {
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
            let target =
                schemas.get(name).cloned().map_or_else(Schema::default, |target| resolve_references(target, schemas));
            with_description(target, reference.description)
        }
        RefOr::T(Schema::Object(mut object)) => {
            for property in object.properties.values_mut() {
                *property = RefOr::T(resolve_references(std::mem::take(property), schemas));
            }
            Schema::Object(object)
        }
        RefOr::T(Schema::Array(mut array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                **items = RefOr::T(resolve_references(std::mem::take(items), schemas));
            }
            Schema::Array(array)
        }
        // An option of a named type.
        RefOr::T(Schema::OneOf(one_of)) => {
            let mut items = one_of.items.into_iter().map(|item| resolve_references(item, schemas));
            items.find(|item| !is_null(item)).map_or_else(Schema::default, nullable)
        }
        RefOr::T(schema) => schema,
    }
}

fn is_null(schema: &Schema) -> bool {
    matches!(schema, Schema::Object(object) if object.schema_type == SchemaType::Type(Type::Null))
}

fn with_description(schema: Schema, description: String) -> Schema {
    match schema {
        Schema::Object(mut object) if !description.is_empty() => {
            object.description = Some(description);
            Schema::Object(object)
        }
        other => other,
    }
}

fn nullable(schema: Schema) -> Schema {
    match schema {
        Schema::Object(mut object) => {
            if let SchemaType::Type(some) = object.schema_type {
                object.schema_type = SchemaType::Array(vec![some, Type::Null]);
            }
            if let Some(values) = &mut object.enum_values {
                values.push(Value::Null);
            }
            Schema::Object(object)
        }
        other => other,
    }
}
