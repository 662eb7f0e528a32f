//! RSS (0.9x, 1.0, 2.0), Atom and JSON feeds as data, with the member names of gofeed that KrakenD shows.
//! Items, people, pictures and enclosures are records: filters do not reach into them.
//!
//! Left out, compared to gofeed: resolving relative links by `xml:base`, Atom content in base64, taking a
//! wrapping `div` off escaped HTML, mending of broken XML, and iTunes categories and keywords as
//! categories. Prefixes are taken as written, so a vocabulary is known by its usual prefix (`dc`,
//! `itunes`, `content`) only. Members of a JSON feed that have the wrong type are ignored, not refused.

use super::date;
use super::decode::DecodeError;
use super::feed_fields::{Extensions, Item, Person, enclosure, image, strings};
use super::feed_tree::{Node, Tree};
use super::json;
use super::value::{Object, Value};

/// What the top level of every feed shows.
#[derive(Default)]
struct Feed {
    kind: &'static str,
    title: String,
    description: String,
    copyright: String,
    language: String,
    published: String,
    updated: String,
    author: Option<Person>,
    categories: Vec<String>,
    image: Option<String>,
    items: Vec<Value>,
}

/// The data of a feed.
pub(super) fn decode(body: &[u8]) -> Result<Object, DecodeError> {
    let unknown = || DecodeError::Markup("Failed to detect feed type".to_owned());
    let first = body.iter().find(|&&b| {
        !matches!(
            b,
            b' ' | b'\r' | b'\n' | b'\t' | 0 | 0xfe | 0xff | 0xef | 0xbb | 0xbf
        )
    });
    let feed = match first {
        Some(b'<') => {
            let tree = Tree::parse(body)?;
            let root = tree.root().ok_or_else(unknown)?;
            if root.is("rss") || root.is("rdf") {
                rss(&tree, root)
            } else if root.is("feed") {
                atom(&tree, root)
            } else {
                return Err(unknown());
            }
        }
        Some(b'{') => match json::decode(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
            .map_err(|_| unknown())?
        {
            Value::Object(object) => json_feed(&object),
            _ => return Err(unknown()),
        },
        _ => return Err(unknown()),
    };
    Ok(feed.data())
}

impl Feed {
    fn data(self) -> Object {
        let text = |text: String| Value::String(text.into());
        let mut members: Vec<(Box<str>, Value)> = vec![
            (
                "author".into(),
                self.author.as_ref().map_or(Value::Null, Person::record),
            ),
            (
                "categories".into(),
                if self.categories.is_empty() {
                    Value::Null
                } else {
                    strings(&self.categories)
                },
            ),
            ("copyright".into(), text(self.copyright)),
            ("custom".into(), Value::Null),
            ("description".into(), text(self.description)),
            ("items".into(), Value::Array(self.items.into())),
            ("language".into(), text(self.language)),
            ("published".into(), text(self.published)),
            ("title".into(), text(self.title)),
            ("type".into(), Value::string(self.kind)),
            ("updated".into(), text(self.updated)),
        ];
        if let Some(url) = self.image {
            members.push(("img_url".into(), text(url)));
        }
        Object::from_members(members)
    }
}

fn first_of(candidates: impl IntoIterator<Item = String>) -> String {
    candidates
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

fn rss(tree: &Tree, root: &Node) -> Feed {
    let mut feed = Feed {
        kind: "rss",
        ..Feed::default()
    };
    let mut outside = Vec::new();
    let mut picture = None;
    for node in tree.children(root) {
        if node.is("channel") {
            feed = rss_channel(tree, node);
        } else if node.is("item") {
            outside.push(rss_item(tree, node).record());
        } else if node.is("image") {
            picture = Some(child_content(tree, node, "url"));
        }
    }
    feed.items.append(&mut outside);
    feed.image = picture.or(feed.image);
    feed
}

fn rss_channel(tree: &Tree, channel: &Node) -> Feed {
    let mut feed = Feed {
        kind: "rss",
        ..Feed::default()
    };
    let (mut editor, mut master) = (String::new(), String::new());
    let mut extensions = Extensions::default();
    for node in tree.children(channel) {
        if node.is_extension() {
            extensions.add(tree, node);
            continue;
        }
        match node.name.to_ascii_lowercase().as_str() {
            "title" => feed.title = tree.content(node),
            "description" => feed.description = tree.content(node),
            "language" => feed.language = tree.content(node),
            "copyright" => feed.copyright = tree.content(node),
            "managingeditor" => editor = tree.content(node),
            "webmaster" => master = tree.content(node),
            "pubdate" => feed.published = tree.content(node),
            "lastbuilddate" => feed.updated = tree.content(node),
            "category" => feed.categories.push(tree.content(node)),
            "image" => feed.image = Some(child_content(tree, node, "url")),
            "item" => feed.items.push(rss_item(tree, node).record()),
            _ => {}
        }
    }
    feed.title = first_of([feed.title, extensions.first("dc", "title")]);
    feed.language = first_of([feed.language, extensions.first("dc", "language")]);
    feed.copyright = first_of([feed.copyright, extensions.first("dc", "rights")]);
    feed.updated = first_of([feed.updated, extensions.first("dc", "date")]);
    feed.categories.extend(extensions.dc("subject"));
    feed.author = rss_author([editor, master], &extensions);
    feed.image = feed
        .image
        .or_else(|| Some(extensions.itunes_image()).filter(|url| !url.is_empty()));
    feed
}

fn rss_author<const N: usize>(own: [String; N], extensions: &Extensions) -> Option<Person> {
    let others = [("dc", "author"), ("dc", "creator"), ("itunes", "author")]
        .map(|(p, n)| extensions.first(p, n));
    let text = first_of(own.into_iter().chain(others));
    (!text.is_empty()).then(|| Person::parse(&text))
}

fn rss_item(tree: &Tree, item: &Node) -> Item {
    let mut out = Item::default();
    let mut author = String::new();
    for node in tree.children(item) {
        if node.is_extension() {
            out.extensions.add(tree, node);
            continue;
        }
        match node.name.to_ascii_lowercase().as_str() {
            "title" => out.title = tree.content(node),
            "description" => out.description = tree.content(node),
            "encoded" if node.prefix.as_ref() == "content" => out.content = tree.content(node),
            "link" => {
                out.link = first_of([tree.content(node), node.attribute("href").to_owned()]);
                out.links.push(out.link.clone());
            }
            "author" => author = tree.content(node),
            "pubdate" => out.published = tree.content(node),
            "guid" => out.guid = tree.content(node),
            "category" => out.categories.push(tree.content(node)),
            "enclosure" => {
                let part = |name| node.attribute(name);
                out.enclosures
                    .push(enclosure(part("url"), part("length"), part("type")));
            }
            "comments" | "source" | "encoded" => {}
            _ => drop(out.custom.insert(node.name.to_string(), tree.content(node))),
        }
    }
    let dublin = &out.extensions;
    out.title = first_of([out.title, dublin.first("dc", "title")]);
    out.description = first_of([out.description, dublin.first("dc", "description")]);
    out.published_parsed = date::parse(&out.published)
        .map(date::Moment::utc)
        .or_else(|| date::parse(&dublin.first("dc", "date")));
    out.published = first_of([out.published, dublin.first("dc", "date")]);
    out.author = rss_author([author], dublin);
    out.authors = out.author.iter().cloned().collect();
    out.categories.extend(dublin.dc("subject"));
    out.image = Some(dublin.itunes_image())
        .filter(|url| !url.is_empty())
        .map(|url| image(&url, ""));
    out
}

fn child_content(tree: &Tree, node: &Node, name: &str) -> String {
    tree.children(node)
        .filter(|child| child.is(name))
        .last()
        .map(|child| tree.content(child))
        .unwrap_or_default()
}

fn atom(tree: &Tree, root: &Node) -> Feed {
    let mut feed = Feed {
        kind: "atom",
        language: root.attribute("lang").to_owned(),
        ..Feed::default()
    };
    for node in tree.children(root).filter(|node| !node.is_extension()) {
        match node.name.to_ascii_lowercase().as_str() {
            "title" => feed.title = atom_text(tree, node),
            "subtitle" | "tagline" => feed.description = atom_text(tree, node),
            "rights" | "copyright" => feed.copyright = atom_text(tree, node),
            "updated" | "modified" => feed.updated = atom_text(tree, node),
            "logo" => feed.image = Some(atom_text(tree, node)).filter(|url| !url.is_empty()),
            "category" => feed.categories.push(node.attribute("term").to_owned()),
            "author" if feed.author.is_none() => feed.author = Some(atom_person(tree, node)),
            "entry" => feed.items.push(atom_entry(tree, node).record()),
            _ => {}
        }
    }
    feed
}

fn atom_entry(tree: &Tree, entry: &Node) -> Item {
    let mut item = Item::default();
    for node in tree.children(entry) {
        if node.is_extension() {
            item.extensions.add(tree, node);
            continue;
        }
        match node.name.to_ascii_lowercase().as_str() {
            "title" => item.title = atom_text(tree, node),
            "id" => item.guid = atom_text(tree, node),
            "summary" => item.description = atom_text(tree, node),
            "content" => item.content = atom_text(tree, node),
            "updated" | "modified" => item.updated = atom_text(tree, node),
            "published" | "issued" => item.published = atom_text(tree, node),
            "category" => item.categories.push(node.attribute("term").to_owned()),
            "author" => item.authors.push(atom_person(tree, node)),
            "link" => atom_link(node, &mut item),
            _ => {}
        }
    }
    item.author = item.authors.first().cloned();
    item.updated_parsed = date::parse(&item.updated).map(date::Moment::utc);
    item.published_parsed = date::parse(&item.published)
        .map(date::Moment::utc)
        .or(item.updated_parsed);
    item.published = first_of([item.published, item.updated.clone()]);
    item
}

fn atom_link(node: &Node, item: &mut Item) {
    let href = node.attribute("href");
    match node.attribute("rel") {
        "" | "alternate" => {
            if item.link.is_empty() {
                item.link = href.to_owned();
            }
            item.links.push(href.to_owned());
        }
        "self" => item.links.push(href.to_owned()),
        "enclosure" => item.enclosures.push(enclosure(
            href,
            node.attribute("length"),
            node.attribute("type"),
        )),
        _ => {}
    }
}

/// Text, or HTML as text; XHTML as it was written, without the `div` around it.
fn atom_text(tree: &Tree, node: &Node) -> String {
    if !node
        .attribute("type")
        .to_ascii_lowercase()
        .contains("xhtml")
        || tree.raw(node).contains("<![CDATA[")
    {
        return tree.content(node);
    }
    let mut children = tree.children(node);
    match (children.next(), children.next()) {
        (Some(only), None) if only.is("div") => tree.raw(only).to_owned(),
        _ => tree.raw(node).to_owned(),
    }
}

fn atom_person(tree: &Tree, node: &Node) -> Person {
    Person {
        name: child_content(tree, node, "name"),
        email: child_content(tree, node, "email"),
    }
}

fn member<'a>(object: &'a Object, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn objects<'a>(object: &'a Object, name: &str) -> impl Iterator<Item = &'a Object> {
    object
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flat_map(|list| list.iter())
        .filter_map(Value::as_object)
}

fn json_author(object: &Object) -> Option<Person> {
    object
        .get("author")
        .and_then(Value::as_object)
        .map(|person| Person::parse(member(person, "name")))
}

fn json_authors(object: &Object) -> Vec<Person> {
    match object.get("authors") {
        Some(Value::Array(_)) => objects(object, "authors")
            .map(|person| Person::parse(member(person, "name")))
            .collect(),
        _ => json_author(object).into_iter().collect(),
    }
}

fn json_feed(object: &Object) -> Feed {
    let first = objects(object, "items").next();
    let of_first = |name| {
        first
            .map(|item| member(item, name))
            .unwrap_or_default()
            .to_owned()
    };
    Feed {
        kind: "json",
        title: member(object, "title").to_owned(),
        description: member(object, "description").to_owned(),
        language: member(object, "language").to_owned(),
        published: of_first("date_published"),
        updated: of_first("date_modified"),
        author: json_author(object),
        image: Some(member(object, "icon").to_owned()).filter(|url| !url.is_empty()),
        items: objects(object, "items")
            .map(|item| json_item(item).record())
            .collect(),
        ..Feed::default()
    }
}

fn json_item(object: &Object) -> Item {
    let text = |name| member(object, name).to_owned();
    let picture = first_of([text("image"), text("banner_image")]);
    let tags = object
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flat_map(|list| list.iter());
    let attachments = objects(object, "attachments").map(|part| {
        let length = match part.get("duration_in_seconds") {
            Some(Value::Number(seconds)) => seconds,
            _ => "0",
        };
        enclosure(member(part, "url"), length, member(part, "mime_type"))
    });
    Item {
        title: text("title"),
        description: text("summary"),
        content: first_of([text("content_html"), text("content_text")]),
        link: text("url"),
        links: [text("url"), text("external_url")]
            .into_iter()
            .filter(|url| !url.is_empty())
            .collect(),
        updated: text("date_modified"),
        updated_parsed: date::parse(member(object, "date_modified")),
        published: text("date_published"),
        published_parsed: date::parse(member(object, "date_published")),
        author: json_author(object),
        authors: json_authors(object),
        guid: text("id"),
        image: (!picture.is_empty()).then(|| image(&picture, "")),
        categories: tags.filter_map(Value::as_str).map(str::to_owned).collect(),
        enclosures: attachments.collect(),
        ..Item::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> String {
        match decode(body.as_bytes()) {
            Ok(object) => format!("{object:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn reads_the_recorded_feed() {
        let feed = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\"><channel><title>Mock feed</title><link>http://feed.test/</link><description>all shows</description><language>en</language><item><title>One</title><link>http://feed.test/1</link><guid>id-1</guid><pubDate>Mon, 02 Jan 2023 10:00:00 +0000</pubDate><description>first</description></item><item><title>Two</title><link>http://feed.test/2</link><guid>id-2</guid><description>second</description></item></channel></rss>\n";
        assert_eq!(
            read(feed),
            r#"{"author":null,"categories":null,"copyright":"","custom":null,"description":"all shows","items":[{"title":"One","description":"first","link":"http://feed.test/1","links":["http://feed.test/1"],"published":"Mon, 02 Jan 2023 10:00:00 +0000","publishedParsed":"2023-01-02T10:00:00Z","guid":"id-1"},{"title":"Two","description":"second","link":"http://feed.test/2","links":["http://feed.test/2"],"guid":"id-2"}],"language":"en","published":"","title":"Mock feed","type":"rss","updated":""}"#
        );
    }

    #[test]
    fn reads_the_rest_of_rss() {
        let feed = r#"<rss xmlns:dc="d" xmlns:content="c"><channel><title><![CDATA[A & B]]></title><managingEditor>e@x.y (Ed)</managingEditor><category>k</category><image><url>http://i</url></image><item><title>T &amp; U</title><content:encoded>&lt;p&gt;</content:encoded><dc:creator>Ada</dc:creator><enclosure url="u" length="1" type="t"/><mood>glad</mood></item></channel></rss>"#;
        assert_eq!(
            read(feed),
            r#"{"author":{"name":"Ed","email":"e@x.y"},"categories":["k"],"copyright":"","custom":null,"description":"","img_url":"http://i","items":[{"title":"T \u0026 U","content":"\u003cp\u003e","author":{"name":"Ada"},"authors":[{"name":"Ada"}],"enclosures":[{"url":"u","length":"1","type":"t"}],"dcExt":{"creator":["Ada"]},"extensions":{"dc":{"creator":[{"name":"creator","value":"Ada","attrs":{},"children":{}}]}},"custom":{"mood":"glad"}}],"language":"","published":"","title":"A \u0026 B","type":"rss","updated":""}"#
        );
    }

    #[test]
    fn reads_atom() {
        let feed = r#"<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en"><title>T</title><subtitle>S</subtitle><updated>2003-12-13T18:30:02Z</updated><author><name>Ada</name><email>a@b</email></author><entry><title>E</title><link href="http://e/1"/><link rel="enclosure" href="http://e/f" type="audio/mpeg" length="9"/><id>urn:1</id><updated>2003-12-13T18:30:02+01:00</updated><summary>text</summary><content type="xhtml"><div>x <b>y</b></div></content></entry></feed>"#;
        assert_eq!(
            read(feed),
            r#"{"author":{"name":"Ada","email":"a@b"},"categories":null,"copyright":"","custom":null,"description":"S","items":[{"title":"E","description":"text","content":"x \u003cb\u003ey\u003c/b\u003e","link":"http://e/1","links":["http://e/1"],"updated":"2003-12-13T18:30:02+01:00","updatedParsed":"2003-12-13T17:30:02Z","published":"2003-12-13T18:30:02+01:00","publishedParsed":"2003-12-13T17:30:02Z","guid":"urn:1","enclosures":[{"url":"http://e/f","length":"9","type":"audio/mpeg"}]}],"language":"en","published":"","title":"T","type":"atom","updated":"2003-12-13T18:30:02Z"}"#
        );
    }

    #[test]
    fn reads_json_feeds() {
        let feed = r#"{"version":"https://jsonfeed.org/version/1","title":"J","items":[{"id":"1","url":"http://j/1","content_text":"c","date_published":"2010-02-07T14:04:00-05:00","tags":["a"]}]}"#;
        assert_eq!(
            read(feed),
            r#"{"author":null,"categories":null,"copyright":"","custom":null,"description":"","items":[{"content":"c","link":"http://j/1","links":["http://j/1"],"published":"2010-02-07T14:04:00-05:00","publishedParsed":"2010-02-07T14:04:00-05:00","guid":"1","categories":["a"]}],"language":"","published":"2010-02-07T14:04:00-05:00","title":"J","type":"json","updated":""}"#
        );
    }

    #[test]
    fn refuses_what_is_no_feed() {
        for body in ["", "plain", "<html></html>", "{\"a\":", "[1]"] {
            assert_eq!(read(body), "Failed to detect feed type", "{body}");
        }
    }
}
