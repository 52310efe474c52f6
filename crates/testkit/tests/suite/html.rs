//! Forms are read out of pages as a browser would send them.

use evergrant_testkit::html::forms;

#[test]
fn a_form_is_what_a_browser_would_send() {
    let page = r#"<!doctype html><style>form > input { color: red }</style><!-- <form action="/no"> -->
        <form method="POST" action="/go?a=1&amp;b=2">
        <input type=hidden name=state value='a "b" &lt;c&gt; &#39;d&#x27; &amp'>
        <input name="q" value="x > y"> <input type="checkbox" name="c1" checked> <input type="checkbox" name="c2" value="v">
        <input type="radio" name="r" value="1"><input type="radio" name="r" value="2" checked>
        <select name="s"><option value="a">A<option value="b" selected>B</select><select name="t"><option>first</option><option>second</option></select>
        <textarea name="text">a &amp; b</textarea>
        <button name="decision" value="allow">Yes</button><button type="button" name="x" value="y">no</button>
        <input type="submit" name="decision" value="deny"></form><input name="outside"><form></form>"#;
    let forms = forms(page);
    assert_eq!(forms.len(), 2);
    let form = &forms[0];
    assert_eq!((form.action.as_str(), form.method.as_str()), ("/go?a=1&b=2", "POST"));
    let field = |name: &str| form.field(name);
    assert_eq!(field("state"), Some("a \"b\" <c> 'd' &amp"));
    assert_eq!((field("q"), field("c1"), field("c2")), (Some("x > y"), Some("on"), None));
    assert_eq!((field("r"), field("s"), field("t")), (Some("2"), Some("b"), Some("first")));
    assert_eq!((field("text"), field("outside"), field("decision")), (Some("a & b"), None, None));
    assert_eq!(form.buttons.len(), 2);
    assert_eq!(form.clone().button("allow").field("decision"), Some("allow"));
    assert_eq!((forms[1].action.as_str(), forms[1].method.as_str()), ("", "GET"));
}
