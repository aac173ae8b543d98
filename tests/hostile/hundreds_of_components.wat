;; Holds five hundred components, and uses each.
;; group: load
(component
  (;times 500;)(component $c# (component) (type (record (field "a" u32)))) (instance (instantiate $c#))
  (;end;)
  (;memory;)
  (;skill;))
