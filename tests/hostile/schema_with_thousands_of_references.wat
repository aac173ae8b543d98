;; Has an input schema that refers to more places in itself than anybody follows.
;; group: describe
;; refused: bad_description
;; says: it refers to
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1048) "\28\23\00\00\c9\d9\02\00")
    (data (i32.const 9000) "{\22$ref\22:\22\23/$defs/a0\22,\22$defs\22:{(;times 3500;)\22a#\22:{\22properties\22:{\22x\22:{\22$ref\22:\22\23/$defs/a##\22}}},(;end;)\22a3500\22:{}}}"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
