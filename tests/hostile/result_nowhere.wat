;; Returns a result that lies behind its memory.
;; group: words
;; fails: trap
(component
  (;memory;)
  (core module $m
    (func (export "run") (param i32 i32) (result i32) (i32.const 0x7ffffff0)))
  (core instance $i (instantiate $m))
  (;skill;))
