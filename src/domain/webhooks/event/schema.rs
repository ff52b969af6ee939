//! The schema of a type with everything in it that it refers to: whoever reads it needs no other.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayItems, Object, Schema, SchemaType, Type};

type Named = BTreeMap<String, RefOr<Schema>>;

/// The schema of a struct.
pub fn schema_of<T: ToSchema>() -> Object {
    let mut named = Vec::new();
    T::schemas(&mut named);
    match resolved(T::schema(), &named.into_iter().collect()) {
        Schema::Object(object) => object,
        _ => Object::new(),
    }
}

/// With what it refers to in place of the references.
fn resolved(schema: RefOr<Schema>, named: &Named) -> Schema {
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
            let target = named.get(name).cloned().map_or_else(Schema::default, |target| resolved(target, named));
            described(target, reference.description)
        }
        RefOr::T(Schema::Object(mut object)) => {
            for property in object.properties.values_mut() {
                *property = RefOr::T(resolved(std::mem::take(property), named));
            }
            Schema::Object(object)
        }
        RefOr::T(Schema::Array(mut array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                **items = RefOr::T(resolved(std::mem::take(items), named));
            }
            Schema::Array(array)
        }
        // An option of something that has a name.
        RefOr::T(Schema::OneOf(one_of)) => {
            let mut items = one_of.items.into_iter().map(|item| resolved(item, named));
            items.find(|item| !is_null(item)).map_or_else(Schema::default, or_null)
        }
        RefOr::T(schema) => schema,
    }
}

fn is_null(schema: &Schema) -> bool {
    matches!(schema, Schema::Object(object) if object.schema_type == SchemaType::Type(Type::Null))
}

fn described(schema: Schema, description: String) -> Schema {
    match schema {
        Schema::Object(mut object) if !description.is_empty() => {
            object.description = Some(description);
            Schema::Object(object)
        }
        other => other,
    }
}

fn or_null(schema: Schema) -> Schema {
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
