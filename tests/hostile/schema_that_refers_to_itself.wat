;; Has an input schema that is itself, so that nothing ever comes of following it.
;; group: describe
;; refused: bad_description
;; says: refers to itself
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1048) "\28\23\00\00\5c\00\00\00")
    (data (i32.const 9000) "{\22$ref\22:\22#/$defs/a\22,\22$defs\22:{\22a\22:{\22allOf\22:[{\22$ref\22:\22#/$defs/b\22}]},\22b\22:{\22$ref\22:\22#/$defs/a\22}}}"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
