//! Messages of every method at the ends of what their fields can hold, and at random.

use std::sync::LazyLock;

use prost_reflect::prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use swift_sampler::philox4x32_10;
use swift_sampler_client::proto;

use super::attacker::{Attacker, send};
use super::frames::{call, message};

/// Depth to which messages in messages are filled.
const DEPTH_MAX: u32 = 4;
/// Characters of a name that is far too long.
const LONG: usize = 1 << 20;
/// Calls on one connection before another is made: fewer than may be open at once.
const CALLS_A_CONNECTION: usize = 100;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap());

/// What the fields of a message are filled with.
#[derive(Debug, Clone, Copy)]
enum Fill {
    Largest,
    Smallest,
    Odd,
    Long,
    Random(u32),
}

impl Fill {
    fn pick<T>(self, largest: T, smallest: T, odd: T) -> T {
        match self {
            Self::Largest => largest,
            Self::Smallest => smallest,
            Self::Odd | Self::Long | Self::Random(_) => odd,
        }
    }
}

pub(crate) fn endless_stream(job: &str) -> Vec<u8> {
    proto::StreamBatchesRequest { job: job.into(), ..Default::default() }.encode_to_vec()
}

/// Half of what one answer may have, so that the largest batch fits.
pub(crate) fn largest_answer(job: &str) -> Vec<u8> {
    proto::GetBatchesRequest { job: job.into(), steps: 2, ..Default::default() }.encode_to_vec()
}

/// Calls every method with every filling, again and again with other random ones.
pub(crate) fn send_all(attacker: &Attacker<'_>) {
    let methods: Vec<MethodDescriptor> =
        POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    assert!(methods.len() > 20, "the protocol has methods: {}", methods.len());
    for round in 0u32.. {
        let fills = [Fill::Largest, Fill::Smallest, Fill::Odd, Fill::Long, Fill::Random(round)];
        let calls: Vec<_> = methods.iter().flat_map(|method| fills.map(|fill| (method, fill))).collect();
        for calls in calls.chunks(CALLS_A_CONNECTION) {
            if !attacker.goes_on() {
                return;
            }
            let Some(mut socket) = attacker.http2() else { continue };
            for (stream, (method, fill)) in (1..).step_by(2).zip(calls) {
                if !attacker.goes_on() {
                    return;
                }
                let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                let body = request(method, *fill, attacker.number);
                let bytes = [call(stream, &path, 0), message(stream, &body)].concat();
                if !send(&mut socket, &bytes, attacker.stop) {
                    break;
                }
            }
        }
    }
}

fn request(method: &MethodDescriptor, fill: Fill, attacker: u8) -> Vec<u8> {
    match fill {
        Fill::Random(round) => {
            let noise = philox4x32_10([round, 0, 0, 0], [u32::from(attacker), 1]).map(u32::to_le_bytes).concat();
            // Valid fields of the message with random bytes between them.
            let mut bytes = filled(&method.input(), Fill::Odd, 0).encode_to_vec();
            for byte in noise {
                if !bytes.is_empty() {
                    let at = usize::from(byte) * 31 % bytes.len();
                    bytes[at] ^= byte;
                }
                bytes.push(byte);
            }
            bytes
        }
        fill => filled(&method.input(), fill, 0).encode_to_vec(),
    }
}

fn filled(descriptor: &MessageDescriptor, fill: Fill, depth: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    if depth > DEPTH_MAX {
        return message;
    }
    for field in descriptor.fields() {
        let value = value(&field, fill, depth);
        let value = match (field.is_map(), field.is_list()) {
            (true, _) => continue,
            (_, true) => Value::List(vec![value; fill.pick(3, 0, 1)]),
            _ => value,
        };
        message.set_field(&field, value);
    }
    message
}

fn value(field: &FieldDescriptor, fill: Fill, depth: u32) -> Value {
    match field.kind() {
        Kind::Double => Value::F64(fill.pick(f64::MAX, f64::NEG_INFINITY, f64::NAN)),
        Kind::Float => Value::F32(fill.pick(f32::MAX, f32::NEG_INFINITY, f32::NAN)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(fill.pick(i32::MAX, i32::MIN, 1)),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(fill.pick(i64::MAX, i64::MIN, 1)),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(fill.pick(u32::MAX, 0, 1)),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(fill.pick(u64::MAX, 0, 1 << 40)),
        Kind::Bool => Value::Bool(fill.pick(true, false, true)),
        Kind::Enum(_) => Value::EnumNumber(fill.pick(i32::MAX, i32::MIN, 1)),
        Kind::String => Value::String(text(field, fill)),
        Kind::Bytes => Value::Bytes(vec![0xff; fill.pick(1 << 20, 0, 13)].into()),
        Kind::Message(inner) => Value::Message(filled(&inner, fill, depth + 1)),
    }
}

/// Names of what there is, so that a request is not refused for its name alone.
fn text(field: &FieldDescriptor, fill: Fill) -> String {
    match fill {
        Fill::Long => "x".repeat(LONG),
        Fill::Smallest => String::new(),
        _ => match field.name() {
            "dataset" => "d".into(),
            "job" => "x".into(),
            "study" => "s".into(),
            "name" if field.parent_message().name().contains("Dataset") => "d".into(),
            "name" => "x".into(),
            name if name.ends_with("_json") => r#"{"kind":"uniform"}"#.into(),
            _ => "../../ü\u{0}\n".into(),
        },
    }
}
