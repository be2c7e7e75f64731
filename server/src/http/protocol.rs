//! Which protocol a path belongs to, and which decoder its body is for.

use super::decode::{amplitude, mixpanel, plain, posthog, segment};
use super::delivery::{Delivery, Malformed};
use super::json::{Json, Members};
use super::payload::Payload;

/// The paths of events. Some belong to two protocols, which the body tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// `/v1/batch`, `/v1/import`.
    SegmentBatch,
    /// `/v1/track` and the others, with the type of the message.
    Segment(&'static str),
    /// `/batch`: PostHog, or Amplitude.
    Batch,
    /// `/i/v0/e`, `/e`, `/capture`.
    PostHog,
    /// `/2/httpapi`.
    Amplitude,
    /// `/track`: Mixpanel, or PostHog.
    Track,
    /// `/import`.
    MixpanelImport,
    /// `/engage`: Mixpanel, or PostHog.
    Engage,
    /// `/v1/events`.
    Plain,
}

/// Whose words an answer is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Segment and RudderStack.
    Segment,
    /// PostHog.
    PostHog,
    /// Amplitude.
    Amplitude,
    /// Mixpanel, events of now.
    Mixpanel,
    /// Mixpanel, events of the past.
    MixpanelImport,
    /// trodden's own.
    Plain,
}

impl Protocol {
    /// Its name in metrics.
    pub fn door(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::PostHog => "posthog",
            Self::Amplitude => "amplitude",
            Self::Mixpanel | Self::MixpanelImport => "mixpanel",
            Self::Plain => "events",
        }
    }
}

impl Path {
    /// The protocol of a request that cannot be looked into.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::SegmentBatch | Self::Segment(_) => Protocol::Segment,
            Self::Batch | Self::PostHog => Protocol::PostHog,
            Self::Amplitude => Protocol::Amplitude,
            Self::Track | Self::Engage => Protocol::Mixpanel,
            Self::MixpanelImport => Protocol::MixpanelImport,
            Self::Plain => Protocol::Plain,
        }
    }

    /// The protocol of a request with this body.
    pub fn protocol_of(self, payload: &Payload) -> Protocol {
        let has = |names: &[&str]| match Json::parse(&payload.text) {
            Ok(body) => !Members::of(&body).first(names).is_blank(),
            Err(_) => false,
        };
        match self {
            Self::Batch if has(&["events"]) => Protocol::Amplitude,
            // Mixpanel has the token among the properties, and nothing of this beside them.
            Self::Track if has(&["api_key", "batch"]) => Protocol::PostHog,
            Self::Engage if has(&["event", "batch"]) => Protocol::PostHog,
            path => path.protocol(),
        }
    }

    /// What the body brings.
    ///
    /// # Errors
    /// What is wrong with the body as a whole.
    pub fn decode<'a>(self, protocol: Protocol, payload: &'a Payload, now_us: i64) -> Result<Delivery<'a>, Malformed> {
        let text = &payload.text;
        match (self, protocol) {
            (Self::Segment(kind), _) => segment::decode(text, Some(kind)),
            (_, Protocol::Segment) => segment::decode(text, None),
            (_, Protocol::PostHog) => posthog::decode(text, now_us),
            (_, Protocol::Amplitude) => amplitude::decode(text),
            (Self::Engage, _) => mixpanel::updates(text),
            (_, Protocol::Mixpanel | Protocol::MixpanelImport) => mixpanel::events(text),
            (_, Protocol::Plain) => plain::decode(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_tell_protocols_apart() {
        let protocol = |path: Path, text: &str| path.protocol_of(&Payload { text: text.into(), ..Payload::default() });
        assert_eq!(protocol(Path::Batch, r#"{"api_key":"k","events":[{}]}"#), Protocol::Amplitude);
        assert_eq!(protocol(Path::Batch, r#"{"api_key":"k","batch":[]}"#), Protocol::PostHog);
        assert_eq!(protocol(Path::Track, r#"{"event":"a","properties":{"token":"k"}}"#), Protocol::Mixpanel);
        assert_eq!(protocol(Path::Track, r#"{"api_key":"k","event":"a"}"#), Protocol::PostHog);
        assert_eq!(protocol(Path::Engage, r#"[{"$token":"k","$set":{}}]"#), Protocol::Mixpanel);
        assert_eq!(protocol(Path::Engage, r#"{"api_key":"k","event":"$identify"}"#), Protocol::PostHog);
        assert_eq!(protocol(Path::Engage, "no JSON"), Protocol::Mixpanel);
    }
}
