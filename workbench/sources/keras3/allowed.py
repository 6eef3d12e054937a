"""The classes and functions of Keras 3 that a model file may name: those that do nothing but compute.

Left out, because they carry code, call other libraries or name files: `Lambda`, `TFSMLayer`, `TorchModuleWrapper`, `JaxLayer`,
`FlaxLayer`, and operations that take a function (`Map`, `Scan`, `Cond`, `WhileLoop` and their kin).
"""

from __future__ import annotations

from workbench.sources import allowed_classes as classes
from workbench.sources.allowed_classes import words
from workbench.sources.trust import Vocabulary

MODELS = words("Functional Model Sequential")

LAYERS = MODELS | words("""
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix
    AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CategoryEncoding
    CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D
    ConvLSTM3D Cropping1D Cropping2D Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU
    EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing Identity InputLayer IntegerLookup LSTM
    LSTMCell LayerNormalization LayerScale LeakyReLU Masking MaxNumBoundingBoxes MaxPooling1D MaxPooling2D MaxPooling3D
    Maximum MelSpectrogram Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN
    RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform
    RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization
    RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector Rescaling
    Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax
    Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StochasticDepth
    StringLookup Subtract TextVectorization TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D
    ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """)

OPERATIONS = words("""
    Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin Angle Any Append Arange Arccos
    Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average AveragePool
    BatchNorm BinaryCrossentropy Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift
    BitwiseXor BroadcastTo CDist CTCDecode CTCLoss Cast CategoricalCrossentropy Cbrt Ceil Celu Cholesky CholeskyInverse Clip
    Concatenate Conjugate Conv ConvTranspose ConvertToTensor Copy Corrcoef Correlate Cos Cosh CountNonzero CropImages Cross
    Cumprod Cumsum Deg2rad DepthToSpace DepthwiseConv Det Diag Diagflat Diagonal Diff Digitize Divide DivideNoNan Dot
    DotProductAttention Dsplit Dstack Eig Eigh Einsum ElasticTransform Elu EmptyLike Equal Erf Erfc Erfinv Exp Exp2 ExpandDims
    Expm1 ExtractPatches ExtractSequences FFT FFT2 Fabs Flip Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod Fold Full FullLike
    GaussianBlur Gcd Gelu Geomspace GetItem Glu Greater GreaterEqual HSVToRGB HardShrink HardSigmoid HardSilu HardTanh
    Heaviside Histogram Hsplit Hstack Hypot I0 IFFT2 IRFFT ISTFT Imag InTopK Inner Inv IsIn Isclose Isfinite Isinf Isnan
    Isneginf Isposinf Isreal JVP Kron LayerNorm Lcm Ldexp LeakyRelu LeftShift Less LessEqual Linspace Log Log10 Log1p Log2
    LogSigmoid LogSoftmax Logaddexp Logaddexp2 Logdet LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Logsumexp LuFactor
    MapCoordinates Matmul Max MaxPool Maximum Mean Median Meshgrid Min Minimum Mod Moments Moveaxis MultiHot Multiply NanToNum
    Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod Nanquantile Nanstd Nansum
    Nanvar Ndim Negative Nextafter Nonzero Norm Normalize NotEqual OneHot OnesLike Outer PSNR Pad PadImages Percentile
    PerspectiveTransform Polar Power Prod Ptp Qr Quantile RFFT RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel Real Reciprocal
    Relu Relu6 Repeat Reshape Resize RightShift Roll Rot90 Round Rsqrt SSIM STFT SVD SaturateCast ScaleAndTranslate Scatter
    ScatterUpdate SearchSorted SegmentMax SegmentReduction SegmentSum Select Selu SeparableConv Sigmoid Sign Signbit Silu Sin
    Sinc Sinh Size Slice SliceUpdate Slogdet SobelEdges SoftShrink Softmax Softplus Softsign Solve SolveTriangular Sort
    SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Split Sqrt Square Squareplus Squeeze Stack
    Std StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh TanhShrink Tensordot Threshold Tile TopK Trace
    Transpose Trapezoid Tril Triu TrueDivide Trunc Unfold Unique UnravelIndex Unstack Vander Var Vdot View ViewAsComplex
    ViewAsReal Vsplit Vstack Where ZerosLike
    """)

INITIALIZERS = classes.INITIALIZERS | words("OrthogonalInitializer IdentityInitializer STFTInitializer")
ACTIVATIONS = classes.ACTIVATIONS | words("""
    celu glu hard_shrink hard_silu hard_swish hard_tanh log_sigmoid soft_shrink sparse_plus sparse_sigmoid sparsemax squareplus
    tanh_shrink threshold
    """)
POLICIES = words("DTypePolicy DTypePolicyMap FloatDTypePolicy QuantizedDTypePolicy QuantizedFloat8DTypePolicy")
# Tensors of the graph, and slices and the like in calls.
DATA = words("__keras_tensor__ __tensor__ __numpy__ __bytes__ __ellipsis__ __slice__ __tuple__")

MODULES = frozenset(
    (
        "keras",
        *(
            f"keras.{part}"
            for part in (
                *(
                    "layers",
                    "models",
                    "initializers",
                    "regularizers",
                    "constraints",
                    "activations",
                    "losses",
                    "metrics",
                ),
                *("optimizers", "optimizers.schedules", "dtype_policies", "ops"),
                *(f"src.ops.{module}" for module in ("core", "image", "linalg", "math", "nn", "numpy", "einops")),
                *("src.models.functional", "src.models.sequential", "src.models.model"),
                *("src.applications.convnext", "src.layers.normalization.rms_normalization"),
                *("src.dtype_policies.dtype_policy", "src.dtype_policies.dtype_policy_map"),
            )
        ),
    )
)

KERAS_3 = Vocabulary(
    owner="Keras",
    models=MODELS,
    layers=LAYERS | OPERATIONS,
    classes=LAYERS
    | OPERATIONS
    | INITIALIZERS
    | classes.REGULARIZERS
    | classes.CONSTRAINTS
    | classes.TRAINING
    | POLICIES
    | classes.POLICIES,
    functions=classes.FUNCTIONS | ACTIVATIONS,
    modules=MODULES,
    looked_up={
        "activation": ACTIVATIONS | LAYERS,
        "initializer": INITIALIZERS,
        "regularizer": classes.REGULARIZERS,
        "constraint": classes.CONSTRAINTS,
        "fn": classes.FUNCTIONS,
    },
    data=DATA,
    registered=words("function"),
)
