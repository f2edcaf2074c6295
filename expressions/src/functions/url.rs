//! PARSE_URL.
use crate::error::Result;
use crate::expression::compile::Site;
use crate::expression::kernel::{Kernel, Text};

/// A URL in the parts that `java.net.URL` gives.
struct Url<'a> {
    protocol: &'a str,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

fn split(text: &str) -> Option<Url<'_>> {
    let text = text.trim();
    let (protocol, rest) = text.split_once(':')?;
    let known = ["http", "https", "ftp", "file", "jar", "mailto"];
    if !known.iter().any(|name| protocol.eq_ignore_ascii_case(name)) {
        return None;
    }
    let (rest, reference) = rest.split_once('#').map_or((rest, None), |(rest, reference)| (rest, Some(reference)));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    Some(Url { protocol, authority, path, query, reference })
}

impl<'a> Url<'a> {
    fn part(&self, name: &str, out: &mut String) -> bool {
        let user = self.authority.rsplit_once('@').map(|(user, _)| user);
        let host = self.authority.rsplit_once('@').map_or(self.authority, |(_, host)| host);
        let host = if host.starts_with('[') { host } else { host.split_once(':').map_or(host, |(host, _)| host) };
        let part = match name {
            "HOST" => Some(host),
            "PATH" => Some(self.path),
            "QUERY" => self.query,
            "REF" => self.reference,
            "PROTOCOL" => Some(self.protocol),
            "AUTHORITY" => Some(self.authority),
            "USERINFO" => user,
            "FILE" => {
                out.push_str(self.path);
                if let Some(query) = self.query {
                    out.push('?');
                    out.push_str(query);
                }
                return true;
            }
            _ => None,
        };
        part.inspect(|part| out.push_str(part));
        part.is_some()
    }

    fn parameter(&self, key: &str) -> Option<&'a str> {
        self.query?
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key))
            .map(|(_, value)| value)
    }
}

/// `PARSE_URL(url, part[, key])`.
pub(super) fn parse_url(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    let with_key = site.operands.len() > 2;
    Ok(Box::new(move |args| {
        let (text, part) = (args.read::<Text>(0)?, args.read::<Text>(1)?);
        let key = if with_key { Some(args.read::<Text>(2)?) } else { None };
        args.strings(|row, out| {
            let (Some(text), Some(part)) = (text.get(row), part.get(row)) else { return Ok(false) };
            let Some(url) = split(text) else { return Ok(false) };
            match &key {
                None => Ok(url.part(part, out)),
                Some(key) => {
                    let value = key.get(row).filter(|_| part == "QUERY").and_then(|key| url.parameter(key));
                    value.inspect(|value| out.push_str(value));
                    Ok(value.is_some())
                }
            }
        })
    }))
}
