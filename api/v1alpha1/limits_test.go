package v1alpha1

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// limit is one of the CRDs', and what keeps the operator to it.
type limit struct {
	keyword string
	is      int64
	// constant that bounds the value, as FOLDER.NAME.
	constant string
	// spec is the field that the value is from.
	spec string
	// because of something else.
	because string
}

// limitsOfStatus are all there are, by the field: the CRD's plural and its path.
var limitsOfStatus = map[string]limit{
	"subjects status.available":                        {keyword: "maxLength", is: 16, because: "it is 16/16 at most"},
	"subjects status.availableVariants":                {keyword: "maxLength", is: 1024, because: "16 names of 63 characters with 15 commas are 1023"},
	"subjects status.conditions":                       {keyword: "maxItems", is: 8, because: "there are Ready, and Stalled or Reconciling"},
	"subjects status.conditions[].message":             {keyword: "maxLength", is: 32768, constant: "controllers/conditions.maxMessage"},
	"subjects status.conditions[].reason":              {keyword: "maxLength", is: 1024, because: "reasons are constants"},
	"subjects status.conditions[].type":                {keyword: "maxLength", is: 316, because: "types are constants"},
	"subjects status.variants":                         {keyword: "maxItems", is: 16, spec: "subjects spec.variants"},
	"subjects status.variants[].name":                  {keyword: "maxLength", is: 63, spec: "subjects spec.variants[].name"},
	"subjects status.variants[].reason":                {keyword: "maxLength", is: 64, because: "reasons are constants"},
	"subjects status.variants[].message":               {keyword: "maxLength", is: 4096, constant: "controllers/subject.maxMessage"},
	"routingpolicies status.applied":                   {keyword: "maxItems", is: 128, constant: "api/v1alpha1.MaxApplied"},
	"routingpolicies status.applied[].apiVersion":      {keyword: "maxLength", is: 317, because: "nothing is listed in a version that the cluster doesn't serve"},
	"routingpolicies status.applied[].digest":          {keyword: "maxLength", is: 128, because: "it is a SHA-256 in 71 characters"},
	"routingpolicies status.applied[].kind":            {keyword: "maxLength", is: 63, because: "nothing is listed of a kind that the cluster doesn't serve"},
	"routingpolicies status.applied[].name":            {keyword: "maxLength", is: 253, constant: "controllers/guard.maxName"},
	"routingpolicies status.applied[].uid":             {keyword: "maxLength", is: 64, because: "the apiserver's have 36"},
	"routingpolicies status.appliedSpec.digest":        {keyword: "maxLength", is: 128, because: "it is a SHA-256 in 71 characters"},
	"routingpolicies status.chart.digest":              {keyword: "maxLength", is: 128, because: "it is a SHA-256 in 71 characters"},
	"routingpolicies status.chart.name":                {keyword: "maxLength", is: 253, spec: "routingpolicies spec.chart.name"},
	"routingpolicies status.chart.repository":          {keyword: "maxLength", is: 2048, spec: "routingpolicies spec.chart.repository"},
	"routingpolicies status.chart.version":             {keyword: "maxLength", is: 253, constant: "api/v1alpha1.MaxVersion"},
	"routingpolicies status.conditions":                {keyword: "maxItems", is: 8, because: "there are six, and Stalled or Reconciling"},
	"routingpolicies status.conditions[].message":      {keyword: "maxLength", is: 32768, constant: "controllers/conditions.maxMessage"},
	"routingpolicies status.conditions[].reason":       {keyword: "maxLength", is: 1024, constant: "controllers/routes.maxReason"},
	"routingpolicies status.conditions[].type":         {keyword: "maxLength", is: 316, because: "types are constants"},
	"routingpolicies status.mirrorTargets":             {keyword: "maxLength", is: 4096, constant: "controllers/routingpolicy.maxTargets"},
	"routingpolicies status.mirrors":                   {keyword: "maxItems", is: 1024, constant: "controllers/routingpolicy.maxMirrors"},
	"routingpolicies status.mirrors[].from":            {keyword: "maxLength", is: 4096, constant: "controllers/routes.maxText"},
	"routingpolicies status.mirrors[].match":           {keyword: "maxLength", is: 4096, constant: "controllers/routes.maxText"},
	"routingpolicies status.mirrors[].rule":            {keyword: "maxLength", is: 253, constant: "controllers/routes.maxRule"},
	"routingpolicies status.mirrors[].variant":         {keyword: "maxLength", is: 1086, because: "16 names of 63 characters, and a comma and a space between them"},
	"routingpolicies status.mirrors[].reason":          {keyword: "maxLength", is: 128, because: "it is one of the reasons of the API"},
	"routingpolicies status.mirrors[].message":         {keyword: "maxLength", is: 1024, constant: "controllers/routingpolicy.maxMessage"},
	"routingpolicies status.subject.name":              {keyword: "maxLength", is: 253, because: "it is the name of an object"},
	"routingpolicies status.subject.namespace":         {keyword: "maxLength", is: 63, because: "it is the name of a namespace"},
	"routingpolicies status.subject.uid":               {keyword: "maxLength", is: 64, because: "the apiserver makes UIDs of 36 characters"},
	"routingpolicies status.checked":                   {keyword: "maxLength", is: 128, because: "it is a SHA-256 in 71 characters"},
	"routingpolicies status.inputs":                    {keyword: "maxLength", is: 256, because: "they are three SHA-256 in 64 characters each"},
	"routingpolicies status.applied[].metadata":        {keyword: "maxLength", is: 128, because: "it is a SHA-256 in 71 characters"},
	"routingpolicies status.mirrors[].percent":         {keyword: "maxLength", is: 32, because: "six digits with a sign, a point and an exponent are 13 characters"},
	"routingpolicies status.mirrors[].route":           {keyword: "maxLength", is: 317, because: "a kind of 63 characters, a slash and a name of 253 are as many"},
	"routingpolicies status.mirrors[].to":              {keyword: "maxLength", is: 512, constant: "controllers/routes.maxTarget"},
	"routingpolicies status.variants":                  {keyword: "maxItems", is: 16, spec: "subjects spec.variants"},
	"routingpolicies status.variants[].name":           {keyword: "maxLength", is: 63, spec: "subjects spec.variants[].name"},
	"routingpolicies status.mirrors[].refusal.message": {keyword: "maxLength", is: 512, constant: "controllers/routingpolicy.maxRefusal"},
	"routingpolicies status.warnings":                  {keyword: "maxItems", is: 8, constant: "controllers/routingpolicy.maxWarnings"},
	"routingpolicies status.warnings[].message":        {keyword: "maxLength", is: 1024, constant: "controllers/routingpolicy.maxMessage"},
	"routingpolicies status.warnings[].object":         {keyword: "maxLength", is: 317, because: "Service, two slashes, a namespace and a name of 63 characters are less"},
	"routingpolicies status.warnings[].reason":         {keyword: "maxLength", is: 128, because: "it is one of the reasons of the API"},
	"routingpolicies status.warnings[].variant":        {keyword: "maxLength", is: 63, spec: "subjects spec.variants[].name"},
	"routingpolicies status.mirrors[].refusal.inputs":  {keyword: "maxLength", is: 128, because: "it is a SHA-256 in 71 characters"},
}

// limitsOfSpec are those that something in the code has to keep what it makes or takes to.
var limitsOfSpec = map[string]limit{
	"subjects spec.variants":                                    {keyword: "maxItems", is: 16, constant: "conversion.maxVariants"},
	"subjects spec.variants[].weight":                           {keyword: "maximum", is: 1_000_000, constant: "api/v1alpha1.MaxWeight"},
	"subjects spec.variants[].resources":                        {keyword: "maxItems", is: 16, constant: "conversion.maxResources"},
	"subjects spec.variants[].resources[].readyWhen.cel":        {keyword: "maxLength", is: 1024, constant: "conversion.maxCEL"},
	"subjects spec.variants[].resources[].readyWhen.conditions": {keyword: "maxItems", is: 8, constant: "api/config/v1alpha1.MaxConditions"},
	"routingpolicies spec.templates":                            {keyword: "maxItems", is: 16, constant: "conversion.maxTemplates"},
	"routingpolicies spec.templates[].name":                     {keyword: "maxLength", is: 63, constant: "conversion.maxTemplateName"},
	"routingpolicies spec.templates[].template":                 {keyword: "maxLength", is: 65536, constant: "conversion.maxTemplate"},
	"routingpolicies spec.chart.name":                           {keyword: "maxLength", is: 253, constant: "conversion.maxChartName"},
	"routingpolicies spec.chart.version":                        {keyword: "maxLength", is: 253, constant: "conversion.maxChartName"},
	"routingpolicies spec.chart.repository":                     {keyword: "maxLength", is: 2048, constant: "conversion.maxRepository"},
}

func TestTheLimitsOfTheCodeAreThoseOfTheCRDs(t *testing.T) {
	g := NewWithT(t)
	given := limitsOfCRDs(t)
	var missing []string
	for name := range given {
		field, _, _ := strings.Cut(name, " | ")
		if _, known := limitsOfStatus[field]; strings.Contains(field, " status.") && !known {
			missing = append(missing, field)
		}
	}
	slices.Sort(missing)
	g.Expect(missing).To(BeEmpty(), "fields of a status with a limit, of which the table doesn't say what keeps to it")
	g.Expect(constantOf(t, "controllers/guard.MaxObjects")).To(BeNumerically("<=", MaxApplied), "what a policy renders fits in its inventory")
	for _, table := range []map[string]limit{limitsOfStatus, limitsOfSpec} {
		for field, l := range table {
			t.Run(field, func(t *testing.T) {
				g := NewWithT(t)
				g.Expect(given[field+" | "+l.keyword]).To(Equal(l.is), "what the CRD says")
				switch {
				case l.constant != "":
					g.Expect(constantOf(t, l.constant)).To(Equal(l.is), l.constant)
				case l.spec != "":
					g.Expect(given[l.spec+" | "+l.keyword]).To(Equal(l.is), "what %s may have", l.spec)
				default:
					g.Expect(l.because).NotTo(BeEmpty())
				}
			})
		}
	}
}

// limitsOfCRDs are by the plural, the path and the keyword.
func limitsOfCRDs(t *testing.T) map[string]int64 {
	t.Helper()
	limits := map[string]int64{}
	var walk func(path string, schema *apiextensionsv1.JSONSchemaProps)
	walk = func(path string, schema *apiextensionsv1.JSONSchemaProps) {
		for keyword, is := range map[string]*int64{"maxLength": schema.MaxLength, "maxItems": schema.MaxItems, "maxProperties": schema.MaxProperties} {
			if is != nil {
				limits[path+" | "+keyword] = *is
			}
		}
		if schema.Maximum != nil {
			limits[path+" | maximum"] = int64(*schema.Maximum)
		}
		for name, property := range schema.Properties {
			walk(path+separator(path)+name, &property)
		}
		if schema.Items != nil {
			walk(path+"[]", schema.Items.Schema)
		}
	}
	for _, plural := range []string{"subjects", "routingpolicies"} {
		var crd apiextensionsv1.CustomResourceDefinition
		data, err := os.ReadFile("../../config/crd/bases/iter8.tools_" + plural + ".yaml")
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		NewWithT(t).Expect(yaml.Unmarshal(data, &crd)).To(Succeed())
		walk(plural, crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
	}
	return limits
}

func separator(path string) string {
	if strings.Contains(path, " ") {
		return "."
	}
	return " "
}

// constantOf reads a constant from the source, as FOLDER.NAME: those that matter most aren't public.
func constantOf(t *testing.T, name string) int64 {
	t.Helper()
	g := NewWithT(t)
	dot := strings.LastIndex(name, ".")
	files, err := filepath.Glob(filepath.Join("..", "..", name[:dot], "*.go"))
	g.Expect(err).NotTo(HaveOccurred())
	var found []int64
	for _, file := range files {
		source, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
		g.Expect(err).NotTo(HaveOccurred())
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Names[0].Name != name[dot+1:] {
				return true
			}
			expression := string(source[spec.Values[0].Pos()-1 : spec.Values[0].End()-1])
			evaluated, err := types.Eval(token.NewFileSet(), nil, token.NoPos, expression)
			g.Expect(err).NotTo(HaveOccurred())
			value, exact := constant.Int64Val(evaluated.Value)
			g.Expect(exact).To(BeTrue())
			found = append(found, value)
			return false
		})
	}
	g.Expect(found).To(HaveLen(1), "constants called %s", name)
	return found[0]
}
