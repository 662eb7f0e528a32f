//! What the certificate of a client says, read once for each connection.
//!
//! TLS has verified it by then: that an authority of the listener's signed it, that it was in time, that the client has
//! its key. Names are written so that they can stand in a header field, and so that a list of them cannot be taken for
//! another one.

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use std::any::Any;
use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// The certificate of a client.
pub struct Certificate {
    /// Distinguished name as RFC 4514 writes it.
    pub subject: String,
    /// The first common name.
    pub common_name: Option<String>,
    /// Distinguished name of who signed it.
    pub issuer: String,
    /// The same as it is encoded (DER).
    pub issuer_der: Box<[u8]>,
    /// Serial number, big-endian, without leading zeros.
    pub serial: Box<[u8]>,
    /// Names of hosts among its alternative names.
    pub dns: Vec<String>,
    /// URIs among them, those of SPIFFE too.
    pub uri: Vec<String>,
    /// Addresses of electronic mail among them.
    pub email: Vec<String>,
    /// IP addresses among them.
    pub ip: Vec<IpAddr>,
    /// SHA-256 of all of it (DER).
    pub fingerprint: [u8; 32],
    /// Seconds from the epoch until which it is valid.
    pub not_after: i64,
    /// What one component made of it, and which.
    made: ArcSwapOption<(u64, Arc<dyn Any + Send + Sync>)>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads the encoding of one certificate; `None` for what is none.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (rest, found) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        let common_name = found.subject().iter_common_name().next();
        let mut certificate = Self {
            subject: name(found.subject()),
            common_name: common_name.map(|value| escaped(value.as_slice(), &[])),
            issuer: name(found.issuer()),
            issuer_der: found.issuer().as_raw().into(),
            serial: number(found.raw_serial()).into(),
            dns: Vec::new(),
            uri: Vec::new(),
            email: Vec::new(),
            ip: Vec::new(),
            fingerprint,
            not_after: found.validity().not_after.timestamp(),
            made: ArcSwapOption::empty(),
        };
        // Two such extensions, or a broken one: nobody knows which names are meant.
        let names = found.subject_alternative_name().ok()?;
        for one in names.iter().flat_map(|names| &names.value.general_names) {
            certificate.take(one)?;
        }
        Some(certificate)
    }

    fn take(&mut self, one: &GeneralName<'_>) -> Option<()> {
        let text = |text: &str| escaped(text.as_bytes(), b",");
        match one {
            GeneralName::DNSName(name) => self.dns.push(text(name)),
            GeneralName::URI(uri) => self.uri.push(text(uri)),
            GeneralName::RFC822Name(name) => self.email.push(text(name)),
            GeneralName::IPAddress(bytes) => self.ip.push(address(bytes)?),
            GeneralName::Invalid(..) => return None,
            _ => {}
        }
        Some(())
    }

    /// The serial number in hexadecimal digits, at least two.
    pub fn serial_text(&self) -> String {
        hex(&self.serial)
    }

    /// SHA-256 of the certificate in hexadecimal digits.
    pub fn fingerprint_text(&self) -> String {
        hex(&self.fingerprint)
    }

    /// What `owner` made of this certificate, made when it is not there. One owner's is kept; the others' are made anew.
    pub fn made<T: Any + Send + Sync>(&self, owner: u64, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(kept) = &*self.made.load()
            && kept.0 == owner
            && let Ok(found) = Arc::clone(&kept.1).downcast()
        {
            return found;
        }
        let made = Arc::new(make());
        let kept: Arc<dyn Any + Send + Sync> = made.clone();
        self.made.store(Some(Arc::new((owner, kept))));
        made
    }
}

/// The bytes of a number without leading zeros; a single one for zero.
pub fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let zeros = zeros.min(bytes.len().saturating_sub(1));
    bytes.get(zeros..).unwrap_or_default()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Text of visible ASCII; all else, and each byte of `also`, as `%` and two digits.
fn escaped(bytes: &[u8], also: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if matches!(byte, b' '..=b'~') && !also.contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A distinguished name as RFC 4514 writes it: the last part first. What is not visible ASCII is escaped by bytes.
fn name(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for part in parts.into_iter().rev() {
        for (at, one) in part.iter().enumerate() {
            if !text.is_empty() {
                text.push(if at == 0 { ',' } else { '+' });
            }
            let oid = one.attr_type().to_id_string();
            match short(&oid) {
                Some(short) => text.push_str(short),
                None => text.push_str(&oid),
            }
            text.push('=');
            push_value(&mut text, one.as_slice());
        }
    }
    text
}

fn push_value(text: &mut String, value: &[u8]) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' ' if at == 0 || at == last => text.push_str("\\ "),
            b'#' if at == 0 => text.push_str("\\#"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

/// The short names that RFC 4514 has, and two that are seen everywhere.
fn short(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, SerialNumber};

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Option<Certificate> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Certificate::parse(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn all_names_are_read() {
        let found = certificate(|params| {
            params
                .distinguished_name
                .push(DnType::OrganizationName, "Hanzo, Inc.");
            params
                .distinguished_name
                .push(DnType::CommonName, " client\u{e9}#");
            params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc]));
            params.subject_alt_names = vec![
                SanType::DnsName("a.test".try_into().unwrap()),
                SanType::URI("spiffe://hanzo.ai/a,b".try_into().unwrap()),
                SanType::Rfc822Name("a@b.test".try_into().unwrap()),
                SanType::IpAddress([192, 0, 2, 1].into()),
                SanType::IpAddress(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
            ];
        })
        .unwrap();
        assert_eq!(found.subject, r"CN=\ client\C3\A9#,O=Hanzo\, Inc.");
        assert_eq!(found.issuer, found.subject);
        assert_eq!(found.common_name.as_deref(), Some(" client%C3%A9#"));
        assert_eq!(found.serial_text(), "0abc");
        assert_eq!(found.dns, ["a.test"]);
        assert_eq!(found.uri, ["spiffe://hanzo.ai/a%2Cb"]);
        assert_eq!(found.email, ["a@b.test"]);
        let ips: Vec<String> = found.ip.iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(found.fingerprint_text().len(), 64);
        assert!(found.not_after > 0);
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for bytes in [&b""[..], b"no", &[0x30, 0x82, 0xff, 0xff, 0x30]] {
            assert!(Certificate::parse(bytes).is_none());
        }
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["a.test".into()]).unwrap();
        let whole = params.self_signed(&key).unwrap();
        let mut longer = whole.der().to_vec();
        longer.push(0);
        assert!(Certificate::parse(&longer).is_none());
        for end in 0..whole.der().len() {
            assert!(Certificate::parse(&whole.der()[..end]).is_none());
        }
    }

    #[test]
    fn what_an_owner_made_is_made_once() {
        let found = certificate(|_| {}).unwrap();
        let first = found.made(1, || 5_u32);
        assert!(Arc::ptr_eq(&first, &found.made(1, || 6_u32)));
        assert_eq!(*found.made(2, || 7_u32), 7);
        assert_eq!(*found.made(2, || 8_u64), 8);
    }

    #[test]
    fn numbers_have_no_leading_zeros() {
        assert_eq!(number(&[0, 0, 1, 0]), [1, 0]);
        assert_eq!(number(&[0, 0]), [0]);
        assert_eq!(number(&[]), [0; 0]);
    }
}
