//! Checks the parts of a workbook before it is read, so that a small file cannot claim a large memory.
//!
//! Every part is unpacked once without being kept. What the archive says about sizes is not believed.

use std::io::{Cursor, Read};

use zip::ZipArchive;

/// The largest size of all parts together, which is that of about a million rows.
const MAX_UNPACKED_BYTES: usize = 256 << 20;

/// The largest size of the part that is held in memory: the texts of all cells.
const MAX_TEXTS_BYTES: usize = 32 << 20;

/// The largest size of a part that is not XML, such as a picture.
const MAX_OTHER_BYTES: usize = 8 << 20;

/// The largest length of one tag or one text.
const MAX_TOKEN_BYTES: usize = 64 << 10;

/// The largest number of texts that a workbook can claim to have.
const MAX_TEXTS: usize = 2_000_000;

/// The largest number of parts.
const MAX_PARTS: usize = 10_000;

/// The attribute of the texts from which a reader takes how much room to make.
const TEXT_COUNT: &[u8] = b"uniqueCount";

/// Checks all parts. The error says which part is wrong and why.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("the workbook is damaged: {error}"))?;
    if archive.len() > MAX_PARTS {
        return Err(format!("the workbook has {} parts, more than {MAX_PARTS}", archive.len()));
    }
    let mut left = MAX_UNPACKED_BYTES;
    for index in 0..archive.len() {
        let mut part = archive.by_index(index).map_err(|error| format!("the workbook is damaged: {error}"))?;
        let name = part.name().map_err(|error| format!("the workbook is damaged: {error}"))?.to_ascii_lowercase();
        let is_xml = matches!(name.rsplit_once('.'), Some((_, "xml" | "rels")));
        let limit = largest_size(&name, is_xml);
        let mut scanner = is_xml.then(Scanner::default);
        let mut buffer = vec![0; 64 << 10];
        let mut size = 0;
        loop {
            let count = part
                .read(&mut buffer)
                .map_err(|error| format!("the workbook is damaged in its part {name}: {error}"))?;
            if count == 0 {
                break;
            }
            size += count;
            if size > left {
                let limit = MAX_UNPACKED_BYTES >> 20;
                return Err(format!(
                    "the workbook is larger than {limit} MiB when unpacked, at its part {name}; split it"
                ));
            }
            if size > limit {
                let limit = limit >> 20;
                return Err(format!(
                    "the workbook's part {name} is larger than {limit} MiB when unpacked; split the workbook"
                ));
            }
            if let Some(scanner) = &mut scanner {
                scanner.scan(&buffer[..count]).map_err(|reason| format!("the workbook's part {name} {reason}"))?;
            }
        }
        left -= size;
    }
    Ok(())
}

fn largest_size(name: &str, is_xml: bool) -> usize {
    if name.ends_with("sharedstrings.xml") {
        MAX_TEXTS_BYTES
    } else if is_xml {
        MAX_UNPACKED_BYTES
    } else {
        MAX_OTHER_BYTES
    }
}

/// Finds what could exhaust a reader of XML.
#[derive(Default)]
struct Scanner {
    /// The bytes since the last sign that ends a tag or a text.
    token_length: usize,
    /// The beginning of the current tag.
    tag: Vec<u8>,
    is_in_tag: bool,
}

impl Scanner {
    fn scan(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            self.token_length += 1;
            match byte {
                0 => return Err("is not UTF-8; save the workbook again".to_owned()),
                b'<' => {
                    (self.token_length, self.is_in_tag) = (0, true);
                    self.tag.clear();
                }
                b'>' => {
                    (self.token_length, self.is_in_tag) = (0, false);
                    self.check_tag()?;
                }
                byte if self.is_in_tag => self.tag.push(*byte),
                _ => {}
            }
            if self.token_length > MAX_TOKEN_BYTES {
                return Err(format!("has a text of more than {} KiB in one cell; shorten it", MAX_TOKEN_BYTES >> 10));
            }
        }
        Ok(())
    }

    /// Refuses declared entities and a false number of texts.
    fn check_tag(&self) -> Result<(), String> {
        if self.tag.starts_with(b"!DOCTYPE") || self.tag.starts_with(b"!ENTITY") {
            return Err("declares entities, which no spreadsheet program does; save the workbook again".to_owned());
        }
        let Some(at) = self.tag.windows(TEXT_COUNT.len()).position(|window| window == TEXT_COUNT) else {
            return Ok(());
        };
        let value = self.tag[at + TEXT_COUNT.len()..].iter().skip_while(|byte| !byte.is_ascii_digit());
        let digits: String = value.take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
        if digits.parse::<usize>().is_ok_and(|count| count <= MAX_TEXTS) {
            return Ok(());
        }
        Err(format!("claims to have {digits} texts, more than {MAX_TEXTS}; save the workbook again, or split it"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A workbook of one part.
    fn archive_of(name: &str, content: &[u8]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file(name, SimpleFileOptions::default()).expect("begun");
        writer.write_all(content).expect("written");
        writer.finish().expect("finished").into_inner()
    }

    #[test]
    fn what_could_exhaust_a_reader_is_refused_by_name() {
        let (strings, sheet) = ("xl/sharedStrings.xml", "xl/worksheets/sheet1.xml");
        let long = format!("<t>{}</t>", "x".repeat(MAX_TOKEN_BYTES + 1));
        for (name, content, reason) in [
            (strings, "<sst uniqueCount=\"99999999999\">", "claims to have 99999999999 texts"),
            (strings, "<sst uniqueCount = '99999999999999999999999'>", "claims to have 9999"),
            (sheet, "<!DOCTYPE worksheet [<!ENTITY a \"b\">]>", "declares entities"),
            (sheet, "<\0a\0", "is not UTF-8"),
            (sheet, &long, "has a text of more than 64 KiB"),
            (strings, &"<si/>".repeat(MAX_TEXTS_BYTES / 5 + 1), "is larger than 32 MiB when unpacked"),
            ("xl/media/image1.png", &"\0".repeat(MAX_OTHER_BYTES + 1), "is larger than 8 MiB when unpacked"),
        ] {
            let refused = check(&archive_of(name, content.as_bytes())).expect_err(reason);
            assert!(refused.contains(reason) && refused.contains(&name.to_ascii_lowercase()), "{refused}");
        }
        assert_eq!(check(&archive_of(strings, b"<sst uniqueCount=\"3\"><si/></sst>")), Ok(()));
        assert!(check(b"PK\x03\x04rest").expect_err("no archive").contains("the workbook is damaged"));
    }

    #[test]
    fn a_size_that_the_archive_claims_is_not_believed() {
        let mut bytes = archive_of("xl/sharedStrings.xml", "<si/>".repeat(MAX_TEXTS_BYTES / 5 + 1).as_bytes());
        let entry = bytes.windows(4).position(|window| window == b"PK\x01\x02").expect("a directory");
        bytes[entry + 24..entry + 28].copy_from_slice(&1_000_u32.to_le_bytes());
        assert!(check(&bytes).is_err());
    }
}
