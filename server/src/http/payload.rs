//! From the bytes of a request to the JSON in it: unpacked, out of its form, out of its base64.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::fmt;
use std::io::Read;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A proxy may pack once more what the SDK packed.
const LAYERS_MAX: usize = 2;

/// What a request says beside its path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The part of the address after `?`.
    pub query: &'a str,
    /// The header `Content-Encoding`.
    pub encoding: Option<&'a str>,
    /// The body as it came.
    pub body: &'a [u8],
}

/// The JSON of a request, not yet read, and its other parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// The text that should be JSON.
    pub text: String,
    /// Parameters of the address and of the form.
    pub parameters: Vec<(String, String)>,
}

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// More than this many bytes when unpacked.
    TooLarge(usize),
    /// What is wrong with the bytes.
    Broken(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => {
                write!(f, "the body has more than {limit} bytes when unpacked: send smaller batches")
            }
            Self::Broken(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Unreadable {}

impl Payload {
    /// Unpack a request, to at most `limit` bytes.
    ///
    /// # Errors
    /// Why there is no text in it.
    pub fn of(request: &Request<'_>, limit: usize) -> Result<Self, Unreadable> {
        let mut parameters = form(request.query.as_bytes());
        let bytes = unpacked(request.body, request.encoding, limit)?;
        let data = match bytes.trim_ascii_start().first() {
            Some(b'{' | b'[') => None,
            Some(_) if is_form(&bytes) => {
                parameters.splice(0..0, form(&bytes));
                take(&mut parameters, "data")
            }
            Some(_) => None,
            None => take(&mut parameters, "data"),
        };
        let text = match data {
            Some(data) => text_of_data(data, limit)?,
            None => utf8(bytes.into_owned())?,
        };
        Ok(Self { text, parameters })
    }

    /// The parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Whether bytes that do not begin as JSON are a form with its data.
fn is_form(bytes: &[u8]) -> bool {
    bytes.split(|&byte| byte == b'&').any(|pair| pair.trim_ascii().starts_with(b"data="))
}

fn form(bytes: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(bytes).into_owned().collect()
}

fn take(parameters: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = parameters.iter().position(|(own, _)| own == name)?;
    Some(parameters.remove(at).1)
}

/// JSON as it is, or base64 of it, packed or not.
fn text_of_data(data: String, limit: usize) -> Result<String, Unreadable> {
    if data.trim_ascii_start().starts_with(['{', '[']) {
        return Ok(data);
    }
    // A form turns the plus signs of base64 that was not escaped into blanks.
    let encoded: String = data.trim_ascii().chars().map(|sign| if sign == ' ' { '+' } else { sign }).collect();
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if encoded.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    let bytes = GeneralPurpose::new(alphabet, lenient)
        .decode(&encoded)
        .map_err(|error| Unreadable::Broken(format!("'data' is neither JSON nor base64: {error}")))?;
    utf8(unpacked(&bytes, None, limit)?.into_owned())
}

fn utf8(bytes: Vec<u8>) -> Result<String, Unreadable> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Unreadable::Broken(format!("the body is no text: byte {at} is not UTF-8"))
    })
}

/// The bytes without their packing: that of the header, and what the first bytes show, since some SDKs pack without saying so
/// and some proxies unpack without saying so.
fn unpacked<'a>(body: &'a [u8], encoding: Option<&str>, limit: usize) -> Result<Cow<'a, [u8]>, Unreadable> {
    let mut bytes = Cow::Borrowed(body);
    let encoding = encoding.unwrap_or("").trim().to_ascii_lowercase();
    for _ in 0..LAYERS_MAX {
        bytes = match &*bytes {
            packed if packed.starts_with(GZIP) => Cow::Owned(read("gzip", MultiGzDecoder::new(packed), limit)?),
            packed if packed.starts_with(ZSTD) => {
                let decoder = zstd::stream::read::Decoder::new(packed).map_err(|error| broken("zstd", &error))?;
                Cow::Owned(read("zstd", decoder, limit)?)
            }
            _ => break,
        };
    }
    if matches!(bytes, Cow::Borrowed(_)) && encoding == "deflate" {
        let is_zlib = body.first().is_some_and(|first| first & 0x0f == 8);
        bytes = Cow::Owned(match is_zlib {
            true => read("deflate", ZlibDecoder::new(body), limit)?,
            false => read("deflate", DeflateDecoder::new(body), limit)?,
        });
    }
    if matches!(bytes, Cow::Borrowed(_)) && encoding == "br" {
        return Err(Unreadable::Broken("the body is packed with 'br': pack it with gzip, deflate or zstd".into()));
    }
    match bytes.len() <= limit {
        true => Ok(bytes),
        false => Err(Unreadable::TooLarge(limit)),
    }
}

fn read(what: &str, packed: impl Read, limit: usize) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    packed.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| broken(what, &error))?;
    match bytes.len() <= limit {
        true => Ok(bytes),
        false => Err(Unreadable::TooLarge(limit)),
    }
}

fn broken(what: &str, error: &std::io::Error) -> Unreadable {
    Unreadable::Broken(format!("the body is no whole {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const JSON: &str = r#"{"event":"a+b é"}"#;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn text(encoding: Option<&str>, body: &[u8]) -> Result<String, Unreadable> {
        Payload::of(&Request { encoding, body, query: "" }, 1000).map(|payload| payload.text)
    }

    #[test]
    fn bodies_are_unpacked_whatever_the_header_says() {
        let zlib = {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(JSON.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let raw = {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(JSON.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = zstd::encode_all(JSON.as_bytes(), 1).unwrap();
        for (encoding, body) in [
            (None, JSON.as_bytes().to_vec()),
            (Some("gzip"), JSON.as_bytes().to_vec()),
            (Some("gzip"), gzip(JSON.as_bytes())),
            (None, gzip(JSON.as_bytes())),
            (Some("gzip"), gzip(&gzip(JSON.as_bytes()))),
            (Some("zstd"), zstd.clone()),
            (None, zstd),
            (Some("deflate"), zlib),
            (Some("Deflate"), raw),
        ] {
            assert_eq!(text(encoding, &body).as_deref(), Ok(JSON), "{encoding:?}");
        }
    }

    #[test]
    fn data_is_taken_from_forms_and_addresses() {
        let standard = base64::engine::general_purpose::STANDARD.encode(JSON);
        let escaped: String = form_urlencoded::byte_serialize(JSON.as_bytes()).collect();
        let packed = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(gzip(JSON.as_bytes()));
        for data in [&standard, &escaped, &packed] {
            let body = format!("verbose=1&data={data}&ip=0");
            let request = Request { body: body.as_bytes(), query: "v=2", encoding: None };
            let payload = Payload::of(&request, 1000).unwrap();
            assert_eq!(payload.text, JSON);
            assert_eq!((payload.parameter("verbose"), payload.parameter("v")), (Some("1"), Some("2")));
            let query = format!("data={data}&verbose=0");
            let payload = Payload::of(&Request { query: &query, ..Request::default() }, 1000).unwrap();
            assert_eq!((payload.text.as_str(), payload.parameter("verbose")), (JSON, Some("0")));
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert_eq!(text(None, &[b' '; 1001]), Err(Unreadable::TooLarge(1000)));
        assert_eq!(text(None, &gzip(&[b' '; 100_000])), Err(Unreadable::TooLarge(1000)));
        let whole = gzip(JSON.as_bytes());
        for (body, word) in [
            (&whole[..whole.len() - 9], "no whole gzip"),
            (b"{\"a\":\"\xff\"}", "byte 6 is not UTF-8"),
            (b"data=%FF!", "neither JSON nor base64"),
        ] {
            let Err(Unreadable::Broken(reason)) = text(None, body) else { panic!("{body:?} was read") };
            assert!(reason.contains(word), "{reason}");
        }
        let Err(Unreadable::Broken(reason)) = text(Some("br"), b"\x01\x02") else { panic!("br was read") };
        assert!(reason.contains("'br'"), "{reason}");
    }
}
