//! Generates the messages and services from `proto/wiesel/*.proto` without needing `protoc`, what each message takes, and a
//! number that says which messages they are.
use std::fmt::Write;
use std::path::Path;

use prost::Message;

// `FieldDescriptorProto.Type` and `FieldDescriptorProto.Label`, in descriptor.proto.
const STRING: i32 = 9;
const MESSAGE: i32 = 11;
const BYTES: i32 = 12;
const REPEATED: i32 = 3;

/// What an entry of a map takes beside its key and its value: they in its node, of which up to a half is empty.
const MAP_ENTRY: usize = 96;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(
        ["types", "job", "state", "control", "record"].map(|name| format!("wiesel/{name}.proto")),
        ["proto"],
    )?;
    let mut shapes = String::new();
    for message in files.file.iter().flat_map(|file| &file.message_type) {
        // The only messages within others are those that stand for the entries of maps, and are counted as such.
        for nested in &message.nested_type {
            if nested.options.as_ref().is_none_or(|options| options.map_entry != Some(true)) {
                return Err(format!("move the message {} out of {}", nested.name(), message.name()).into());
            }
        }
        let entries = message.nested_type.iter().map(|entry| (entry, format!("{}.{}", message.name(), entry.name())));
        for (shaped, name) in std::iter::once((message, message.name().to_owned())).chain(entries) {
            let fields = shaped.field.iter().filter_map(|field| {
                let holds = match field.r#type {
                    Some(MESSAGE) => format!("Message(&{})", shape_of(field.type_name())),
                    Some(STRING) => "Text".to_owned(),
                    Some(BYTES) => "Bytes".to_owned(),
                    _ if field.label == Some(REPEATED) => "Numbers".to_owned(),
                    _ => return None,
                };
                Some(format!("({}, Holds::{holds})", field.number()))
            });
            let fields: Vec<String> = fields.collect();
            let (is_entry, shape) = (name.contains('.'), shape_of(&name));
            let bytes = if is_entry { MAP_ENTRY.to_string() } else { format!("size_of::<crate::{name}>()") };
            writeln!(shapes, "static {shape}: Shape = Shape {{ bytes: {bytes}, fields: &[{}] }};", fields.join(", "))?;
            if !is_entry {
                let body = format!("fn shape() -> &'static Shape {{ &{shape} }}");
                writeln!(shapes, "impl Shaped for crate::{name} {{ {body} }}")?;
            }
        }
    }
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("shapes.rs"), shapes)?;
    // The same wherever it is built, another one with any other field or call; comments do not count.
    let described = files.file.iter().cloned().map(|mut file| {
        file.source_code_info = None;
        file.encode_to_vec()
    });
    println!("cargo:rustc-env=WIESEL_MESSAGES={:016x}", fnv1a(described.flatten()));
    tonic_prost_build::configure().bytes(".wiesel").btree_map(".wiesel").compile_fds(files)?;
    Ok(())
}

/// FNV-1a in 64 bits (Fowler, Noll, Vo): not to be guessed is not asked of it, and the standard library's hash may change.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The name of the static that says what a message takes.
fn shape_of(message: &str) -> String {
    let mut name = String::new();
    for letter in message.trim_start_matches(".wiesel.").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        if letter != '.' {
            name.push(letter.to_ascii_uppercase());
        }
    }
    name
}
